"""The hash chain that ties a run's events together, so that rot and tampering show when they are read."""

from hashlib import sha256


def genesis(run_id: str) -> bytes:
    """Give the hash before a run's first event: 32 bytes that differ from run to run, so runs cannot be swapped."""
    return sha256(run_id.encode()).digest()


def link(previous: bytes, seq: int, body: bytes) -> bytes:
    """Give the hash of an event: SHA-256 over the hash before it, its sequence number and its JSON; 32 bytes."""
    return sha256(b"%b%d:%b" % (previous, seq, body)).digest()
