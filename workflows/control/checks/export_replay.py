"""Replay an exported run or session with the present code, without a model, a tool or a journal."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Final, TypeAlias

from greenroom.messages.core.failures import Failure
from greenroom.messages.core.json_text import JsonText
from greenroom.messages.core.message import Json
from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker as frames
from greenroom.messages.frames.replay_differences import changes
from greenroom.workflows.control.checks.replay_check import CheckRecord, ReplayChecker
from greenroom.workflows.queries.run_export import RunExport
from greenroom.workflows.state.fold import fold
from greenroom.workflows.state.run_state import RunState

Ending: TypeAlias = ev.RunCompleted | ev.RunFailed | ev.RunCancelled | ev.TurnEnded | ev.TurnFailed

_ENDINGS: Final = (ev.RunCompleted, ev.RunFailed, ev.RunCancelled, ev.TurnEnded, ev.TurnFailed)
_HELD: Final = (ev.ValueEmitted, ev.MessageSent)
_EFFECTS: Final = (frames.EmitValue, frames.SendMessage)
_REQUESTS: Final = (
    *_EFFECTS,
    frames.ScheduleStep,
    frames.ScheduleTimer,
    frames.ScheduleReceive,
    frames.ScheduleApproval,
    frames.ScheduleChild,
)
"""Commands by which a program asks for something new."""


def replay(export: RunExport, app: str, checker: ReplayChecker) -> str:
    """Replay an export, and return the first difference as one sentence; empty if there is none.

    A run is replayed up to its end, and how it ends is compared too. One that has not ended is replayed as far as it
    went. Of a session, each handled message is replayed.

    Args:
        export: The run or session.
        app: Where the present code is: the absolute path of a file, or a dotted module name.
        checker: Replays in its own processes.
    """
    for state, last in _points(export):
        record, turn = checker.replay(replace(state, app=app))
        found = _difference(record, turn, last)
        if found:
            return found if last is None or state.letter is None else f"message {state.letter[0]}: {found}"
    return ""


def _points(export: RunExport) -> Iterator[tuple[RunState, Sequence[ev.AnyEvent] | None]]:
    """Yield each state to replay from, and the events by which the program ended there; None if it did not end.

    A state is changed by the next step of the iteration.
    """
    events = export.events
    ends = [place for place, event in enumerate(events) if isinstance(event, _ENDINGS)]
    if export.header.kind == "run":
        ends = ends[-1:]  # earlier ones were failures that a retry has cut off
    state: RunState | None = None
    done = 0
    for end in ends:
        begin = _begin_of_last_turn(events, end) if export.header.kind == "session" else end
        for event in events[done:begin]:
            state = fold(state, event)
        done = begin
        if state is not None:
            yield state, events[begin : end + 1]
    if export.header.kind == "run" and ends:
        return  # what comes after a run's end asks for nothing
    for event in events[done:]:
        state = fold(state, event)
    if state is not None and not state.idle:
        yield state, None


def _begin_of_last_turn(events: Sequence[ev.AnyEvent], end: int) -> int:
    """Return where the effects begin that a session's handler had held until it ended at ``end``.

    Calls that it did not await are cancelled in between.
    """
    begin = place = end
    while place > 0 and isinstance(event := events[place - 1], (*_HELD, ev.AttemptEnded, ev.StepFailed)):
        cancelled = "cancelled" in {getattr(event, "outcome", ""), getattr(event, "reason", "")}
        if not cancelled and not isinstance(event, _HELD):
            break
        place -= 1
        begin = place if isinstance(event, _HELD) else begin
    return begin


def _difference(record: CheckRecord, turn: frames.Turn | None, last: Sequence[ev.AnyEvent] | None) -> str:
    """Return how a replay differs from what is recorded; empty if it does not."""
    if record.verdict != "equal":
        return record.reason
    if last is None or turn is None or isinstance(last[-1], ev.RunCancelled):  # which may end without its program
        return ""
    ending = last[-1]
    assert isinstance(ending, _ENDINGS)  # by which it was found
    held = [_effect(event) for event in last[:-1] if isinstance(event, _HELD)]
    asked = [command for command in turn.commands if isinstance(command, _REQUESTS)]
    now = [_effect(command) if isinstance(command, _EFFECTS) else (command.key, None) for command in asked]
    place = next((place for place, pair in enumerate(zip_longest(held, now)) if not _same(*pair)), None)
    if place is None:
        change = _change(ending, turn.commands[-1] if turn.commands else None)
    elif place >= len(held):
        change = f"also asks for {now[place][0]} ({asked[place].type})"
    elif place >= len(now):
        change = f"leaves {held[place][0]} out"
    else:
        found = changes(held[place][1], now[place][1], "the value")
        change = f"asks for {now[place][0]} in the place of {held[place][0]}: {'; '.join(found)}"
    return f"the journal holds that {_told(ending)}, but the code now {change}" if change else ""


def _effect(effect: ev.ValueEmitted | ev.MessageSent | frames.EmitValue | frames.SendMessage) -> tuple[str, Json]:
    """Return the key and the value of something that was emitted or sent."""
    if isinstance(effect, (ev.ValueEmitted, frames.EmitValue)):
        return f"{effect.key}#{effect.number}", effect.value
    return effect.key, JsonText.of_members({"name": effect.name, "value": effect.value})


def _same(held: tuple[str, Json] | None, now: tuple[str, Json] | None) -> bool:
    return held is not None and now is not None and held[0] == now[0] and not changes(held[1], now[1])


def _change(ending: Ending, command: object) -> str:
    """Return how the program ends now, if it ended in another way; empty if not. ``command`` is its last one."""
    if isinstance(command, frames.Return):
        if not isinstance(ending, (ev.RunCompleted, ev.TurnEnded)):
            return "returns"
        result = ending.result if isinstance(ending, ev.RunCompleted) else ending.reply
        found = changes(result, command.result, "the result")
        return f"returns something else: {'; '.join(found)}" if found else ""
    if isinstance(command, frames.Raise):
        failure, now = ending.failure if isinstance(ending, (ev.RunFailed, ev.TurnFailed)) else None, command.failure
        # A failure without a type is none of the program's own.
        same = failure is not None and (not failure.type or (failure.type, failure.message) == (now.type, now.message))
        return "" if same else f"raises {_named(now)}"
    return "waits"


def _told(ending: Ending) -> str:
    match ending:
        case ev.RunFailed(failure=failure) | ev.TurnFailed(failure=failure):
            return f"it raised {_named(failure)}"
        case ev.RunCancelled():
            return "it was cancelled"
        case _:
            return "it returned"


def _named(failure: Failure) -> str:
    return failure.sentence() or failure.outcome
