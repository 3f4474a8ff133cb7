"""What a replay is compared with, and the description of a difference. Pure: everything is made from a run's state."""

from itertools import zip_longest
from typing import Final

from greenroom.messages.advice import fork, resume
from greenroom.messages.core.json_text import JsonText, plain, text_of
from greenroom.messages.core.message import Json
from greenroom.messages.frames.replay_differences import READ_BYTES, Asked, Difference, changes, digest
from greenroom.messages.frames.worker import Diverge
from greenroom.messages.transcript import entry_id, newest_first
from greenroom.workflows.state.run_state import Question, RunState, Step

MOST_CHANGES: Final = 5
STEADY: Final = (
    "Code of a workflow runs again from its beginning, and has to ask for the same each time: go through sets in "
    "sorted() order; take the time and random numbers from greenroom.now(), random() and uuid4(), and what else may "
    "differ from a step; use no id(), hash() or repr() that depends on an address."
)
SHOWN_BYTES: Final = 4096
"""Maximum size in bytes of the arguments shown with a difference."""


def digests(state: RunState, keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return a digest of what was asked for under each key; see ``StartProgram.digests``."""
    return tuple(_digest(state, key) for key in keys)


def _digest(state: RunState, key: str) -> str:
    if key in state.diverted:
        return ""
    if key in state.sent:  # the state does not have the message itself
        return state.sent[key]
    return digest(_what(state, key).partition(" ")[0], _held(state, key), state.form)


def references(state: RunState) -> dict[str, str]:
    """Return the references of open steps, by key: a worker with the new code must know them."""
    return {step.key: step.ref for step in state.steps.values() if step.open}


def withdrawn(state: RunState) -> tuple[str, ...]:
    """Return the keys of calls that are no longer awaited and have no outcome."""
    awaited = {*state.timers, *state.receives, *state.questions}
    awaited.update(step.key for step in state.steps.values() if step.open)
    awaited.update(key for key, child in state.children.items() if child.open)
    awaited.update(resolution.key for resolution in state.resolutions)
    awaited.update(state.sent)
    return tuple(key for key in state.asked if key not in awaited)


def explained(state: RunState, command: Diverge) -> tuple[str, Difference | None]:
    """Return why a run cannot be replayed, with the ways to go on, and the difference from the journal."""
    difference = command.difference
    if difference is None:
        return f"the workflow cannot be replayed: {command.detail}", None
    held = _held(state, difference.key)
    found: list[str] = []
    if difference.kind == "arguments" and not difference.asked[0].too_long and len(text_of(held)) <= READ_BYTES:
        found = changes(held, difference.asked[0].arguments)
        step = state.steps.get(difference.key)
        found = _conversation_changes(state, step, difference.asked[0]) or found
        what, asked = _what(state, difference.key), difference.asked[0].what
        if step is not None and what != asked and (step.open or not found):
            found.insert(0, f"it was {what} and is {asked}")
    whole = difference.model_copy(
        update={
            "seq": state.asked.get(difference.key),
            "what": _what(state, difference.key),
            "arguments": plain(held) if len(text_of(held)) <= SHOWN_BYTES else None,
            "asked": tuple(each.model_copy(update={"transcript": None}) for each in difference.asked),
            "changes": tuple(found[:MOST_CHANGES]),
        }
    )
    if difference.unchanged:
        begin, hint = "its code does not ask for the same again", f" {STEADY}"
    elif state.session is not None:  # the fingerprint of its code was not recorded
        begin, hint = "its code has changed, or does not ask for the same again", f" {STEADY}"
    else:
        begin, hint = "its code has changed", ""
    ways = ways_on(state, unchanged=difference.unchanged)
    return f"{begin}, and the journal cannot be replayed: {whole.sentence()}.{hint} {ways}", whole


def _conversation_changes(state: RunState, step: Step | None, asked: Asked) -> list[str]:
    """Return where the conversation that a model call reads differs: its arguments only name the last entry."""
    use = asked.transcript
    if step is None or use is None:
        return []
    tip, stored = (step.reads, state.entries) if use.library else (step.transcript, state.transcripts)
    entries = {**stored, **{entry_id(entry): entry for entry in use.new}}
    try:
        held, now = (list(newest_first(entries, each))[::-1] for each in (tip or "", use.tip))
    except LookupError:  # it also builds on an answer that was replaced meanwhile
        return []
    pairs = enumerate(zip_longest(held, now))
    return [each for place, pair in pairs for each in changes(*pair, f"conversation[{place}]")]


def ways_on(state: RunState, *, unchanged: bool = False) -> str:
    """Return the ways to go on with a run whose code does not ask for what its journal holds."""
    again = resume(state.run_id)
    another = (
        f"let a new run begin with the same arguments, {fork(state.run_id)}, with --at KEY from a step before that"
    )
    if state.session is not None:
        return f"Nothing was run or recorded. Mend the code and {again}"
    if unchanged:
        return (
            f"Nothing was run or recorded. Mend the code so that it asks for what is recorded and {again}; or {another}"
        )
    return (
        f"Nothing was run or recorded. Mend the code and {again}; or {another}; or keep the old code for the runs that "
        f"it began, and make the new one a version beside it: @workflow(name={state.workflow!r}, "
        f"version={state.version + 1})"
    )


def _held(state: RunState, key: str) -> Json:
    if (step := state.steps.get(key)) is not None:
        return step.arguments
    if (child := state.children.get(key)) is not None:
        return JsonText.of_members(child.arguments)
    question = _question(state, key)
    return None if question is None else JsonText.of_members({"action": question.action, "args": question.args})


def _what(state: RunState, key: str) -> str:
    """See ``Asked.what``."""
    if (step := state.steps.get(key)) is not None:
        return f"{step.kind} {step.ref}"
    if (child := state.children.get(key)) is not None:
        return f"child {child.workflow}"
    if _question(state, key) is not None:
        return "approval"
    if key in state.sent:
        return "message"
    return "timer" if key in state.timer_keys else "receive"


def _question(state: RunState, key: str) -> Question | None:
    answer = state.answers.get(key)
    return state.questions.get(key) if answer is None else answer.question
