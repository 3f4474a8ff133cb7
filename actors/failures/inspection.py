"""Safe access to exceptions: reads what the interpreter stores, without calling code of their authors.

An exception's class is user code. It may replace any attribute by a property that raises.
"""

from typing import Any, Final, cast

from greenroom.actors.failures.redaction import redact

TEXT_LIMIT: Final = 16 * 1024
"""Longest text of an exception, in characters."""
MOST_NOTES: Final = 100
"""Most notes of an exception that are recorded, from the first."""
BY_STATEMENT: Final = 1 << 9
"""Flag of classes that were created by a ``class`` statement, not compiled into Python."""


def attribute(error: BaseException, name: str) -> Any:
    """Return an attribute as the interpreter stores it, even if the exception's class redefines it."""
    return BaseException.__dict__[name].__get__(error)


def class_attribute(cls: type, name: str) -> Any:
    """Return an attribute of a class as the interpreter stores it, even if the metaclass redefines it."""
    return type.__dict__[name].__get__(cls)


def name_of(cls: type) -> str:
    """Return the name of a class."""
    return bounded(class_attribute(cls, "__name__"))


def mro_of(cls: type) -> tuple[type, ...]:
    """Return a class and its bases, in method resolution order."""
    return class_attribute(cls, "__mro__")  # type: ignore[no-any-return]


def members_of(group: BaseExceptionGroup[BaseException]) -> tuple[BaseException, ...]:
    """Return the exceptions of a group."""
    return BaseExceptionGroup.__dict__["exceptions"].__get__(group)  # type: ignore[no-any-return]


def cause_of(error: BaseException) -> BaseException | None:
    """Return the cause of an exception or, without one, its context."""
    cause: BaseException | None = attribute(error, "__cause__")
    if cause is not None or attribute(error, "__suppress_context__"):
        return cause
    return attribute(error, "__context__")  # type: ignore[no-any-return]


def message_of(error: BaseException) -> str:
    """Return the text of an exception. Never raises."""
    try:
        return bounded(str(error))
    except BaseException as broken:  # noqa: BLE001  a class of the user's creates this text
        return f"its text cannot be made, that raises {name_of(type(broken))}"


def notes_of(error: BaseException) -> tuple[str, ...]:
    """Return the notes that were added to an exception: the first ``MOST_NOTES``, shortened to one limit together."""
    added = attribute(error, "__dict__").get("__notes__")
    if type(added) is not list:  # a subclass could run code of its own
        return ()
    notes = cast("list[object]", added)[:MOST_NOTES]
    found: list[str] = []
    left = TEXT_LIMIT
    for note in notes:
        if isinstance(note, str) and left > 0:
            found.append(bounded(note)[:left])
            left -= len(found[-1])
    return tuple(found)


def bounded(text: str) -> str:
    """Return a text without secrets, shortened, and with characters replaced that JSON cannot carry.

    Methods that a subclass of ``str`` overrides are not called.
    """
    plain = redact(str.__getitem__(text, slice(None)))  # before shortening, as a cut could leave a part of a secret
    return plain[:TEXT_LIMIT].encode("utf-8", "replace").decode("utf-8")
