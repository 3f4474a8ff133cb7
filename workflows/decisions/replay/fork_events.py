"""Forks: the events of a run that begins with a part of another run's history, with one input or result replaced. Pure.

History is cut as for a retry (see ``run_retry_point``): at the outcome of one call. What was asked for before that
outcome was recorded does not depend on it, and is shared with all its results. The shared events are copied, so a fork
does not depend on its origin. For services outside it is another run: its calls have idempotency keys of their own.
"""

import difflib
from collections import Counter
from collections.abc import Sequence

from greenroom.messages.commands import ForkRun
from greenroom.messages.core.equality import same
from greenroom.messages.core.errors import InvalidInput
from greenroom.messages.core.json_text import JsonText, plain, text_of
from greenroom.messages.core.message import Json
from greenroom.messages.events import events as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.ids import child_id
from greenroom.workflows.decisions.replay.history import History, PastCall
from greenroom.workflows.decisions.replay.run_retry_point import rewound


def forked(events: Sequence[AnyEvent], command: ForkRun, run_id: str, now: float, seed: str) -> list[AnyEvent]:
    """Return the events that a fork begins with.

    Args:
        events: All events of its origin.
        command: The request; ``input`` of a workflow is in its normal form.
        run_id: Id of the fork.
        now: Seconds since the Unix epoch.
        seed: Seed of the fork's own random numbers.

    Raises:
        InvalidInput: There is no such call, both input and result are given, or a result without a call.
    """
    first = events[0]
    assert isinstance(first, ev.RunStarted)
    if command.input is not None and command.gives_result:
        msg = "a fork takes another input or another result, not both"
        raise InvalidInput(msg, (("result", msg),))
    own: dict[str, object] = {"at": now, "run_id": run_id, "parent": None, "parent_key": None, "origin": command.run_id}
    own["accounts"] = (run_id,) if first.budget is not None else ()
    if command.at is None:
        if command.gives_result:
            msg = "a fork with another result needs the key of the step that it is the result of"
            raise InvalidInput(msg, (("at", msg),))
        arguments = first.arguments if command.input is None else plain(command.input)
        return [first.model_copy(update={**own, "seed": seed, "arguments": arguments})]
    history = History(events)
    _check_key(history, command)
    copied = _Copy(history, command, run_id, now).events(events)
    begun_at = first.at if first.begun_at is None else first.begun_at
    begin = first.model_copy(update={**own, "seed": first.seed or first.run_id, "begun_at": begun_at})
    parting = ev.RunForked(
        at=now,
        origin=command.run_id,
        key=command.at,
        given=command.gives_result,
        result=command.result,
        seed=seed,
    )
    return [begin, *copied, parting]


def is_same_fork(events: Sequence[AnyEvent], other: Sequence[AnyEvent]) -> bool:
    """Return whether two runs are forks of the same run at the same call, with the same input and result.

    Args:
        events: What the one run begins with, or all of it.
        other: The same of the other run; it need not be a fork.
    """
    return same(_request(events), _request(other))


def _request(events: Sequence[AnyEvent]) -> dict[str, Json]:
    """Return what a run is a fork of, at which call, and what it was given; nothing if it is not a fork."""
    first = events[0]
    if not isinstance(first, ev.RunStarted) or first.origin is None:
        return {}
    parting = next((event for event in events if isinstance(event, ev.RunForked) and not event.copied), None)
    if parting is None:
        return {"origin": first.origin, "arguments": JsonText.of_members(first.arguments)}
    request: dict[str, Json] = {"origin": first.origin, "at": parting.key}
    request |= {"given": parting.given, "result": parting.result}
    for event in events:
        if isinstance(event, ev.StepScheduled) and event.key == parting.key:
            request["arguments"] = event.arguments
        elif isinstance(event, ev.ChildScheduled) and event.key == parting.key:
            request["arguments"] = JsonText.of_members(event.arguments)
    return request


def _check_key(history: History, command: ForkRun) -> None:
    known = [key for key, call in history.calls.items() if call.kind in {"step", "child"}]
    if command.at not in known:
        close = difflib.get_close_matches(str(command.at), known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(known[:20]) or 'none yet'}"
        msg = f"run {command.run_id} has no step {command.at!r}{hint}"
        raise InvalidInput(msg, (("at", msg),))


def call_arguments(given: Json) -> Json:
    """Return arguments as journaled: those of an object by name, those of an array in order, else a single one."""
    text = text_of(given)
    if text.startswith(b"{"):
        return JsonText.of_members({"args": [], "kwargs": given})
    args = given if text.startswith(b"[") else JsonText.of_items([given])
    return JsonText.of_members({"args": args, "kwargs": {}})


def child_arguments(given: Json, names: Sequence[str]) -> dict[str, Json]:
    """Return the arguments of a child as journaled, by name: those of an array have ``names``, in order.

    Raises:
        InvalidInput: An array has more arguments than there are names.
    """
    value = plain(given)
    if isinstance(value, dict):
        return {**value}
    args = value if isinstance(value, list) else [value]
    if len(args) > len(names):
        takes = f"takes {', '.join(f'`{name}`' for name in names)}" if names else "has no parameters"
        msg = f"the child run {takes}, and the input has {len(args)} arguments"
        raise InvalidInput(msg, (("input", msg),))
    return dict(zip(names, args, strict=False))


def _cut(history: History, at: PastCall) -> int:
    """Return the sequence number of a call's outcome, or of the request to cancel because of which it has none."""
    cut = at.ended if at.ended is not None else history.seq + 1
    return min(cut, history.cancelled_after(at.asked) or cut)


class _Copy:
    """Copies the shared events of one fork."""

    def __init__(self, history: History, command: ForkRun, run_id: str, now: float) -> None:
        assert command.at is not None
        self._history = history
        self._command = command
        self._run_id = run_id
        self._cut = _cut(history, history.calls[command.at])
        plan = rewound(history, self._cut, now)
        self._timers = plan.timers
        self._kept = {key: call for key, call in history.calls.items() if key not in plan.forgotten}
        self._open = {*plan.reopened, command.at}
        self._open |= {key for key, call in self._kept.items() if call.ended is None}
        self._children = 0
        self._offsets = Counter[str]()

    def events(self, events: Sequence[AnyEvent]) -> list[AnyEvent]:
        """Return the shared events, in their order."""
        found: list[AnyEvent] = []
        for seq, event in enumerate(events, 1):
            copy = self._loose(seq, event)
            key = self._call_of(event)
            if copy is None and key in self._kept and seq >= self._kept[key].asked:
                copy = self._of_call(seq, event, key, self._kept[key])
            if copy is not None:
                found.append(copy)
        return found

    def _call_of(self, event: AnyEvent) -> str:
        """Return the key of the call that an event belongs to; a question about a step's result belongs to the step."""
        key: str = getattr(event, "key", "")
        about_step = isinstance(event, ev.ApprovalAsked | ev.ApprovalDecided | ev.ApprovalWithdrawn)
        return key.rpartition("@")[0] if about_step and key not in self._kept else key

    def _loose(self, seq: int, event: AnyEvent) -> AnyEvent | None:
        """Return the copy of an event that belongs to no call, or None if it is not shared."""
        if seq >= self._cut:
            return None
        match event:
            case ev.MessageReceived():
                return event
            case ev.StateChanged() | ev.CancelRequested() if self._history.holds(seq):
                return event
            case ev.ValueEmitted(channel=channel) if self._history.holds(seq):
                return event.model_copy(update={"offset": self._next_offset(channel)})
            case _:
                return None

    def _of_call(  # noqa: C901, PLR0911, PLR0912  one for each kind of event
        self, seq: int, event: AnyEvent, key: str, call: PastCall
    ) -> AnyEvent | None:
        """Return the copy of an event of a shared call, or None. Without its outcome, a call has no attempts."""
        before = seq < self._cut
        match event:
            case ev.AnswerSampled():
                return None  # its origin has it rated
            case ev.RunForked():
                return self._earlier_fork(seq, event)
            case ev.StepScheduled() if key == self._command.at and self._command.input is not None:
                return event.model_copy(update={"arguments": call_arguments(self._command.input)})
            case ev.ChildScheduled():
                return self._child(event, key)
            case ev.TimerSet():
                return event.model_copy(update={"due": self._timers.get(key, event.due)})
            case ev.StepScheduled() | ev.ReceiveAsked():
                return event
            case ev.ApprovalAsked() | ev.ApprovalDecided() | ev.ApprovalWithdrawn() if call.kind == "approval":
                shared = before if isinstance(event, ev.ApprovalWithdrawn) else True
                return event if isinstance(event, ev.ApprovalAsked) or (shared and seq == call.ended) else None
            case ev.TimerFired() | ev.TimerCancelled() | ev.ReceiveWithdrawn():
                return event if before and seq == call.ended else None
            case ev.MessageTaken() | ev.MessageRefused():
                return event if before and call.taken is not None and seq >= call.taken else None
            case ev.StepEmitted(channel=channel) if key not in self._open:
                return event.model_copy(update={"offset": self._next_offset(channel)})
            case ev.ValuesDiscarded(offsets=offsets) if key not in self._open:
                return event.model_copy(update={"offsets": {each: self._next_offset(each) for each in offsets}})
            case ev.StepCompleted() | ev.StepFailed() | ev.ChildEnded():
                return event if seq == call.ended and key not in self._open else None
            case _:
                return event if key not in self._open else None

    def _earlier_fork(self, seq: int, event: ev.RunForked) -> ev.RunForked:
        """Return the copy of the event by which an origin that is a fork itself parted from its own origin.

        It stands for the input or result that the origin was given. The random numbers that the origin drew after it
        are shared only if it comes before the cut.
        """
        changes: dict[str, object] = {"copied": True}
        if seq >= self._cut:
            changes["seed"] = ""
        if event.key in self._open:
            changes.update(given=False, result=None)
        return event.model_copy(update=changes)

    def _next_offset(self, channel: str) -> int:
        self._offsets[channel] += 1
        return self._offsets[channel] - 1

    def _child(self, event: ev.ChildScheduled, key: str) -> ev.ChildScheduled:
        """Return the copy for a child: one that has ended stays its origin's, another one becomes the fork's."""
        self._children += 1
        changes: dict[str, object] = {}
        if key in self._open:
            changes["run_id"] = child_id(self._run_id, self._children)
        if key == self._command.at and self._command.input is not None:
            changes["arguments"] = child_arguments(self._command.input, [*event.arguments])
        return event.model_copy(update=changes)
