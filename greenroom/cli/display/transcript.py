"""Conversations of agents with their models, as people read them."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from greenroom.cli.display.values import blank, emit, note, say
from greenroom.cli.settings import Settings

if TYPE_CHECKING:
    from greenroom.messages.transcript import ToolCall, TranscriptMessage


def show_transcript(settings: Settings, messages: "Sequence[TranscriptMessage]", of: str) -> None:
    """Print the messages of a run or session in full, each under the name of who says it."""
    if settings.json:
        emit(messages)
        return
    if not messages:
        note(f"{of} has no conversation with a model")
    for number, message in enumerate(messages):
        if number:
            blank()
        if message.role == "user":
            _said("user", message.text)
        elif message.role == "tool":
            _said(f"tool {message.name}{' (failed)' if message.failed else ''}", message.text)
        else:
            _said(f"model {message.model}".rstrip(), message.text)
            for call in message.calls:
                say(f"  -> {called(call)}")


def _said(who: str, text: str) -> None:
    say(who)
    for line in text.splitlines():
        say(f"  {line}".rstrip())


def called(call: "ToolCall") -> str:
    """Return a call of a tool as code: the name, and the arguments by name."""
    try:
        given = json.loads(call.arguments)
        words = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in given.items())
    except (ValueError, AttributeError, RecursionError):  # the model's mistake, of which the agent tells it
        words = call.arguments
    return f"{call.name}({words})"
