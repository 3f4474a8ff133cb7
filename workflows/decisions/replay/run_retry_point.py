"""Retries: the point from which a run that has ended goes on, and what is kept of its history. Pure.

History is cut at one outcome: the failure that ended the run. What the program asked for before that outcome was
recorded does not depend on it, so it is kept with all its results, from before the cut or after. What was asked for
later may follow from the failure, as compensation does, and is forgotten. So the program goes on from a history that it
could have had.
"""

from collections.abc import Iterable

from greenroom.messages.core.errors import RetryRefused
from greenroom.messages.events import events as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.workflows.decisions.replay.history import History, PastCall
from greenroom.workflows.state.run_state import CANCEL_KEY


def retried(run_id: str, events: Iterable[AnyEvent], now: float, by: str | None = None) -> ev.RunRetried:
    """Return the event by which a run that failed or was cancelled goes on.

    Args:
        run_id: The run.
        events: All of its events.
        now: Seconds since the Unix epoch.
        by: For a child that goes on with its parent: the id of the parent's order.

    Raises:
        RetryRefused: The run has not failed, or a step that may run once only would run again.
    """
    history = History(events)
    if not isinstance(history.end, (ev.RunFailed, ev.RunCancelled)):
        how = "has completed" if history.end is not None else "has not ended"
        msg = f"run {run_id} {how}: only a run that failed or was cancelled can be retried"
        raise RetryRefused(msg)
    failed = failed_calls(history)
    for key, call in failed.items():
        if call.once and call.begun:
            msg = (
                f"step {key} of run {run_id} is marked once=True and was begun, so it does not run again; "
                "once you know what came of it, start a new run"
            )
            raise RetryRefused(msg)
    return rewound(history, _cut(history, failed), now, by)


def failed_calls(history: History) -> dict[str, PastCall]:
    """Return the calls whose failures ended a run, by key: none if its own code failed or it was cancelled."""
    if not isinstance(history.end, ev.RunFailed):
        return {}
    keys = history.end.calls or ((history.end.step,) if history.end.step is not None else ())
    return {key: call for key in keys if (call := history.calls.get(key)) is not None and call.failed}


def _cut(history: History, failed: dict[str, PastCall]) -> int:
    """Return the sequence number of the outcome that ended a run or, if there is none, of the end itself."""
    if isinstance(history.end, ev.RunCancelled) and history.cancelled_at is not None:
        return history.cancelled_at
    return min((call.ended for call in failed.values() if call.ended is not None), default=history.closing)


def rewound(history: History, cut: int, now: float, by: str | None = None) -> ev.RunRetried:
    """Return the event by which everything is forgotten that may follow from the outcome at ``cut``."""
    kept = {key: call for key, call in history.calls.items() if call.asked < cut}
    forgotten = [key for key in history.calls if key not in kept]
    forgotten += [CANCEL_KEY] * history.cancels_from(cut)
    moment = history.moments[min(cut, history.seq) - 1]
    return ev.RunRetried(
        at=now,
        cut=cut,
        forgotten=tuple(forgotten),
        reopened=tuple(
            key for key, call in kept.items() if call.kind in {"step", "child"} and _failed_since(call, cut)
        ),
        timers={
            key: now + max(0.0, call.due - moment)
            for key, call in kept.items()
            if call.kind == "timer" and (call.ended is None or call.ended >= cut)
        },
        receives={
            key: call.name
            for key, call in kept.items()
            if call.kind == "receive" and (call.ended is None or _awaits_again(call, cut))
        },
        approvals=tuple(
            key
            for key, call in kept.items()
            if call.kind == "approval" and (call.ended is None or _failed_since(call, cut))
        ),
        state=history.state_before(cut),
        emitted=history.emitted_before(cut),
        by=by,
    )


def _failed_since(call: PastCall, cut: int) -> bool:
    return call.failed and call.ended is not None and call.ended >= cut


def _awaits_again(call: PastCall, cut: int) -> bool:
    """Return whether a wait for a message was given up because of the outcome at the cut.

    It was not if it had its message before: then it was given up for an earlier reason.
    """
    return _failed_since(call, cut) and (call.taken is None or call.taken >= cut)
