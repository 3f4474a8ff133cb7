"""Options as a person makes them in Python: given by position or by name, and refused in a sentence."""

from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import ValidationError

from greenroom.messages.core.message import Message
from greenroom.messages.core.other_names import refuse_options


def _make(cls: Any, *given: Any, **options: Any) -> Any:
    """Return a message of the class with the given options.

    Raises:
        TypeError: There is no such option, or one is given twice.
        ValueError: Options have invalid values; all of them are named.
    """
    name: str = cls.__name__
    known: dict[str, Any] = cls.model_fields
    if len(given) > len(known):
        msg = f"{name}() takes at most {len(known)} options, not {len(given)}"
        raise TypeError(msg)
    for option, value in zip(known, given, strict=False):
        if option in options:
            msg = f"{name}() got the option {option!r} twice"
            raise TypeError(msg)
        options[option] = value
    refuse_options(name, [option for option in options if option not in known], known, name)
    try:
        return type.__call__(cls, **options)
    except ValidationError as error:
        wrong = "".join(f"\n  {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
    msg = f"{name} has invalid options:{wrong}"
    raise ValueError(msg)


if TYPE_CHECKING:  # which sees the options that each class declares, not those of ``_make``
    from pydantic._internal._model_construction import ModelMetaclass

    FromPython: TypeAlias = ModelMetaclass
else:

    class FromPython(type(Message)):
        """Class of the messages that authors make in Python, such as ``Retry(3)``.

        Pydantic does not call it when it reads a message from JSON.
        """

        __call__ = _make
