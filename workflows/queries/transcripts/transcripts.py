"""Transcripts of conversations with models, read from the events of a run or session. Pure."""

from collections.abc import Iterable

from pydantic import TypeAdapter

from greenroom.journal.interface import Stored
from greenroom.messages.core.errors import InvalidInput
from greenroom.messages.core.json_text import text_of
from greenroom.messages.core.message import Json
from greenroom.messages.events.events import StepScheduled
from greenroom.messages.transcript import (
    AssistantMessage,
    Entry,
    ToolList,
    TranscriptMessage,
    TranscriptUse,
    entry_id,
    newest_first,
)
from greenroom.workflows.queries.transcripts.pydantic_ai_messages import read_messages
from greenroom.workflows.state.fold import fold
from greenroom.workflows.state.run_state import RunState

_ENTRY: TypeAdapter[TranscriptMessage | ToolList] = TypeAdapter(TranscriptMessage | ToolList)


def read_transcript(run_id: str, events: Iterable[Stored], step: str | None) -> list[TranscriptMessage]:
    """Return what a model call has read, and its answer if it has one, oldest first.

    Args:
        run_id: The run or session, for errors.
        events: All of its events.
        step: Key of the call's step, or of the agent that made it; then its newest call counts. None for the newest
            call of all.

    Raises:
        InvalidInput: There is no such call in a conversation.
    """
    state: RunState | None = None
    calls: list[str] = []
    use, key, result = TranscriptUse(tip=""), "", None  # of the call, its key, and its result
    foreign: dict[str, Entry] = {}  # entries of other libraries' agents, which a session forgets with the turn
    for stored in events:
        event = stored.event
        state = fold(state, event)
        if isinstance(event, StepScheduled) and event.transcript is not None:
            calls.append(event.key)
            if event.transcript.library:
                foreign.update((entry_id(entry), entry) for entry in event.transcript.new)
            if step is None or event.key == step or event.key.startswith(f"{step}/"):
                use, key, result = event.transcript, event.key, None
        if key in state.steps:
            result = state.steps[key].result
    if state is None or (step is None and not calls):
        return []
    if not key:
        known = f": its calls are {', '.join(dict.fromkeys(calls))}" if calls else ", nor any other"
        msg = f"{run_id} has no model call {step!r} in a conversation{known}"
        raise InvalidInput(msg)
    if use.library:
        asked = reversed(list(newest_first(foreign, use.tip)))
        return list(read_messages([*asked, *([] if result is None else [result])]))
    read = [_message(message) for message in newest_first(state.transcripts, use.tip)]
    after = [_message(entry.message) for entry in state.transcripts.values() if entry.parent == use.tip]
    answers = [message for message in after if isinstance(message, AssistantMessage)]
    return [message for message in reversed(read) if not isinstance(message, ToolList)] + answers[-1:]


def _message(json: Json) -> TranscriptMessage | ToolList:
    return _ENTRY.validate_json(text_of(json))
