"""The hash chain over a run's lines of events, which reveals bit rot and tampering when they are read."""

from hashlib import sha256


def genesis(run_id: str) -> bytes:
    """Return the hash before a run's first line: 32 bytes that differ for each run, so that runs cannot be swapped."""
    return sha256(run_id.encode()).digest()


def link(previous: bytes, seq: int, body: bytes) -> bytes:
    """Return the hash of a line: SHA-256 over the previous hash, the line's sequence number and its body."""
    return sha256(b"%b%d:%b" % (previous, seq, body)).digest()
