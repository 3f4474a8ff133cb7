"""Retries and forks, applied to a run's state.

A retry forgets what followed from a failure; a fork diverges from its origin.
"""

from collections import Counter
from typing import Final

from greenroom.messages.events import events as ev
from greenroom.messages.frames.worker import LaterSeed, Resolution
from greenroom.workflows.state import budgets
from greenroom.workflows.state.handlers import handler
from greenroom.workflows.state.run_state import CANCEL_KEY, RunState, Step
from greenroom.workflows.state.transcripts import remember_answer, result_given


def _run_retried(state: RunState, event: ev.RunRetried) -> None:
    state.ended = state.ended_at = state.halted = None
    state.failure = state.failed_step = state.reason = None
    state.failed_calls = ()
    state.program = None
    _forget_cancel(state)
    state.program_crashes = 0
    state.shared = event.state
    state.emitted = dict(event.emitted)
    state.retried = event.by if event.by is not None else state.retried
    _forget_outcomes(state, event)
    for key in event.forgotten:
        _forget(state, key)
    for key in event.reopened:
        _reopen(state, key, event)
    for key in event.approvals:
        if (answer := state.answers.pop(key, None)) is not None:
            state.questions[key] = answer.question
            state.mark_changes.append(("approval", key, answer.question.seq))
    for key in event.receives:
        state.taken.pop(key, None)
    state.receives = dict(event.receives)
    state.timers = dict(event.timers)
    state.wait_changes.extend(event.timers.items())
    budgets.set_wall(state)


def _forget_cancel(state: RunState) -> None:
    state.cancel_requested = state.cancel_reason = state.cancel_due = None
    state.cancel_heard = False


def _forget_outcomes(state: RunState, event: ev.RunRetried) -> None:
    gone = Counter(event.forgotten)
    gone.update((*event.reopened, *event.timers, *event.receives))
    for index in reversed(range(len(state.resolutions))):  # of several requests to cancel, the last ones are forgotten
        key = state.resolutions[index].key
        if gone[key] > 0:
            gone[key] -= key == CANCEL_KEY
            del state.resolutions[index]


def _forget(state: RunState, key: str) -> None:
    if (step := state.steps.pop(key, None)) is not None:
        state.in_flight -= step.open
        if step.attempts:
            state.shelved[key] = step
    if (child := state.children.pop(key, None)) is not None:
        state.in_flight -= child.open
    state.asked.pop(key, None)
    state.timer_keys.discard(key)
    state.refused.discard(key)
    state.sent.pop(key, None)
    state.answers.pop(key, None)
    given = state.taken.pop(key, None)
    if given is not None:  # the next call that asks receives it
        number, letter = given
        state.mailbox = dict(sorted([*state.mailbox.items(), (number, letter)], key=lambda item: item[0]))


def _reopen(state: RunState, key: str, event: ev.RunRetried) -> None:
    state.in_flight += 1
    if (child := state.children.get(key)) is not None:
        child.open = True
        child.retry = f"{state.run_id}:{state.seq}" if event.by is None else event.by
        return
    step = state.steps[key]
    state.mark_changes.append(("dead_letter", key, None))  # if it was one, it has been dealt with
    step.status = "scheduled"
    step.ended_at = step.result = None
    step.solo = step.flagged = False
    step.spent = step.spent or (step.options.once and len(step.attempts) > step.forgiven)
    step.forgiven = len(step.attempts)


def unshelve(state: RunState, step: Step) -> None:
    """Continue the count of attempts of a forgotten step that is asked for again."""
    shelved = state.shelved.pop(step.key, None)
    if shelved is None:
        return
    step.attempts = shelved.attempts
    step.judges_usage = shelved.judges_usage
    step.forgiven = len(step.attempts)
    same = shelved.arguments == step.arguments
    step.generation = shelved.generation + (not same)
    if same and step.options.once:
        step.result = shelved.result


def _run_forked(state: RunState, event: ev.RunForked) -> None:
    state.reason = None
    _forget_cancel(state)  # a request to cancel the origin does not concern the fork
    state.inherited = len(state.resolutions)
    if event.seed:
        state.later_seeds += (LaterSeed(shared=state.inherited, seed=event.seed),)
    state.diverted.add(event.key)
    if not event.given:
        return
    result = event.result
    if (child := state.children.get(event.key)) is not None:
        child.open = False
    else:
        step = state.steps[event.key]
        result = result_given(step, result)
        step.status, step.result, step.ended_at = "completed", result, event.at
        if step.transcript is not None:
            remember_answer(state, step, step.transcript)
    state.in_flight -= 1
    state.resolutions.append(Resolution(key=event.key, at=event.at, kind="result", value=result))


HANDLERS: Final = (handler(ev.RunRetried, _run_retried), handler(ev.RunForked, _run_forked))
