"""The name that this package had in its first releases, where journals and projects made then still hold it."""

from typing import Final

FORMER: Final = "understudy"

_MODULE: Final = f"{FORMER}.messages.errors."
_BASE: Final = "UnderstudyError"


def present_class(name: str) -> str:
    """Return the present name of an exception class, as ``module.qualname``.

    A journal of a first release names our classes by the module that held them then. All other names are returned as
    they are.
    """
    if not name.startswith(_MODULE):
        return name
    cls = name.removeprefix(_MODULE)
    return f"greenroom.messages.core.errors.{'GreenroomError' if cls == _BASE else cls}"
