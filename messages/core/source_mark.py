"""The mark of the code that writes and reads messages, by which two processes see whether they have the same."""

from functools import cache
from hashlib import blake2b
from pathlib import Path


@cache
def source_mark() -> str:
    """Return the mark of the messages' source as it is on disk at the first call in this process.

    An upgrade of the package under a running orchestrator changes the source. What is imported after that writes other
    messages than the orchestrator reads. Compare the marks of both to say so, instead of blaming the code of users.
    """
    digest = blake2b(digest_size=16)
    for file in sorted(Path(__file__).parent.parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
