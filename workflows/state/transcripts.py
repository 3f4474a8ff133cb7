"""Transcripts of a run's conversations with models, by entry. Applied by the handlers of the steps' events.

What the program adds is in ``StepScheduled``, and a model's answer is in the result of its step. Here both are entries.
"""

from typing import Any

from greenroom.messages.core.json_text import JsonText, plain
from greenroom.messages.core.message import Json
from greenroom.messages.transcript import (
    TranscriptUse,
    answer_entry,
    as_array,
    entry_id,
    given_answer,
    newest_first,
    read_answer,
)
from greenroom.workflows.state.run_state import RunState, Step


def remember_use(state: RunState, step: Step, use: TranscriptUse) -> None:
    """Store the entries that a model call has brought with it."""
    new = {entry_id(entry): entry for entry in use.new}
    if use.library:
        step.reads = use.tip
        state.entries.update(new)
    else:
        step.transcript = use.tip
        state.transcripts.update(new)
        state.conversed = True


def remember_answer(state: RunState, step: Step, tip: str) -> None:
    """Store the answer of a completed model call as the entry after ``tip``, the last one that the model has read.

    A summary of a part follows no entry: the program adds it as the entry that replaces the part.
    """
    answer = read_answer(step.result)
    if answer.part is None:
        entry = answer_entry(tip, answer)
        state.transcripts[entry_id(entry)] = entry


def result_given(step: Step, value: Json) -> Json:
    """Return the result of a step for a value that a person gives in place of it."""
    return value if step.transcript is None else JsonText(given_answer(value).model_dump_json().encode())


def judged_result(step: Step) -> Json:
    """Return what evaluators judge: a step's result, or the answer in the result of a model call in a conversation."""
    return step.result if step.transcript is None else read_answer(step.result).answer


def judged_arguments(state: RunState, step: Step) -> Json:
    """Return the arguments of a step as its caller wrote them; for a call in a conversation, the newest prompt."""
    if step.transcript is None:
        return step.arguments
    for each in newest_first(state.transcripts, step.transcript):
        message: Any = plain(each)
        if message["role"] == "user":
            return {"args": [message["text"]], "kwargs": {}}
    return {"args": [], "kwargs": {}}


def transcript_text(state: RunState, step: Step) -> JsonText | None:
    """Return the entries of the transcript that a step reads as a JSON array, oldest first; None if it reads none.

    Raises:
        LookupError: The run does not store an entry of it.
    """
    if step.transcript is not None:
        return as_array(newest_first(state.transcripts, step.transcript))
    return None if step.reads is None else as_array(newest_first(state.entries, step.reads))
