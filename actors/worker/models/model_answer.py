"""Reads the answer of a model, and decides whether it counts.

An answer counts only if it is complete and as requested. Text cut short, prose around JSON, and JSON that does not fit
are ``invalid``. What was wrong is described in words that the model receives with the next attempt.
"""

from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import from_json

from greenroom.actors.models import ModelReply
from greenroom.actors.values.conversion import ValueConverter, faults, sentence, type_name

_RAW_CHARACTERS: Final = 2000
"""Characters kept of a rejected answer, from its start and its end."""


class InvalidAnswer(Exception):  # noqa: N818  the model's fault, not an error of this package
    """A model's answer does not count.

    Attributes:
        reply: The answer.
    """

    def __init__(self, message: str, reply: ModelReply) -> None:
        """Keep the reply with the message, which is fed back to the model."""
        super().__init__(message)
        self.reply = reply


def read_answer(form: ValueConverter, reply: ModelReply) -> Any:
    """Read a reply strictly as a value of the output type.

    Raises:
        InvalidAnswer: The reply is a refusal, cut short, empty, not JSON, or JSON that does not fit.
    """
    text = reply.text.strip()
    if reply.finish == "refusal":
        msg = f"the model refused to answer: {shorten(text)}" if text else "the model refused to answer"
        raise InvalidAnswer(msg, reply)
    if reply.finish == "length":
        msg = "the answer was cut short before its end: give a shorter one"
        raise InvalidAnswer(msg, reply)
    if not text:
        msg = "the answer is empty"
        raise InvalidAnswer(msg, reply)
    if form.annotation is str:
        return text
    try:
        from_json(text, allow_inf_nan=False)
    except ValueError as error:
        msg = f"the answer is not JSON: {error}. Answer with JSON alone, with no text and no code fence around it"
        raise InvalidAnswer(msg, reply) from None
    try:
        return form.read_text(text, strict=True)
    except ValidationError as error:
        msg = f"the answer does not fit {type_name(form.annotation)}: {sentence(faults(error))}"
        raise InvalidAnswer(msg, reply) from None


def shorten(text: str) -> str:
    """Return the start and the end of a long text, for records."""
    if len(text) <= _RAW_CHARACTERS:
        return text
    half = _RAW_CHARACTERS // 2
    return f"{text[:half]} [... {len(text) - 2 * half} characters ...] {text[-half:]}"
