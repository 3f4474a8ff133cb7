"""What to do where the kernel refuses a resource."""

import errno

from greenroom.messages.advice import raise_files, raise_processes


def with_remedy(error: OSError) -> str:
    """Return an error's own words, with how to allow more of what was refused if that is known."""
    match error.errno:
        case errno.EMFILE:
            return f"{error}; allow more, for instance with {raise_files('65536')}, and start again"
        case errno.EAGAIN:
            return f"{error}; allow more processes, for instance with {raise_processes('4096')}, and start again"
        case _:
            return str(error)
