"""The part of a traceback that is the user's code."""

import os
import traceback
from typing import Final

_STANDARD: Final = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120  a prefix of names
_OURS: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep  # noqa: PTH100, PTH120
_MACHINERY: Final = ("<frozen importlib", _OURS, f"{_STANDARD}asyncio{os.sep}", f"{_STANDARD}importlib{os.sep}")


def is_machinery(filename: str) -> bool:
    """Return whether a file's code is this package's, asyncio's or the import system's."""
    return filename.startswith(_MACHINERY)


def user_traceback(error: BaseException) -> str:
    """Return the traceback from the first frame of the user's on; the whole traceback if there is none."""
    frame = error.__traceback__
    while frame is not None and is_machinery(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame)).rstrip()
