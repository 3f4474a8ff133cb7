"""What the interpreter keeps of an exception, asked for so that no code of its author's has a say in it.

An exception is an object of the user's: its class may have put properties that raise in the place of anything.
"""

from typing import Any, Final, cast

from greenroom.actors.failures.redaction import redact

TEXT_LIMIT: Final = 16 * 1024
"""Characters of one text; what exceptions say can be of any length."""


def attribute(error: BaseException, name: str) -> Any:
    """Give what the interpreter keeps of an exception, whatever its class has put in the place of it."""
    return BaseException.__dict__[name].__get__(error)


def class_attribute(cls: type, name: str) -> Any:
    """Give what the interpreter keeps of a class, whatever its metaclass has put in the place of it."""
    return type.__dict__[name].__get__(cls)


def name_of(cls: type) -> str:
    """Give the name of a class."""
    return bounded(class_attribute(cls, "__name__"))


def mro_of(cls: type) -> tuple[type, ...]:
    """Give a class and its bases, in the order in which Python looks at them."""
    return class_attribute(cls, "__mro__")  # type: ignore[no-any-return]


def members_of(group: BaseExceptionGroup[BaseException]) -> tuple[BaseException, ...]:
    """Give the exceptions of a group."""
    return BaseExceptionGroup.__dict__["exceptions"].__get__(group)  # type: ignore[no-any-return]


def reason_of(error: BaseException) -> BaseException | None:
    """Give what an exception was raised from or, where it says nothing of that, while handling."""
    cause: BaseException | None = attribute(error, "__cause__")
    if cause is not None or attribute(error, "__suppress_context__"):
        return cause
    return attribute(error, "__context__")  # type: ignore[no-any-return]


def message_of(error: BaseException) -> str:
    """Give the text of an exception. Never raises."""
    try:
        return bounded(str(error))
    except BaseException as broken:  # noqa: BLE001  a class of the user's makes this text
        return f"its text cannot be made, that raises {name_of(type(broken))}"


def notes_of(error: BaseException) -> tuple[str, ...]:
    """Give the notes that were added to an exception."""
    notes = attribute(error, "__dict__").get("__notes__")
    if not isinstance(notes, list):
        return ()
    return tuple(bounded(note) for note in cast("list[object]", notes) if isinstance(note, str))


def bounded(text: str) -> str:
    """Take out secrets, shorten, and replace what JSON cannot carry. A subclass of ``str`` has no say in it."""
    plain = redact(str.__getitem__(text, slice(None)))  # first: a cut could leave a part of a secret
    return plain[:TEXT_LIMIT].encode("utf-8", "replace").decode("utf-8")
