"""The name of a session's handler, as people type it."""


def name_of(name: str) -> str:
    """Return a handler's name, also if it was typed as ``FILE.py:NAME``."""
    return name.rpartition(":")[2]
