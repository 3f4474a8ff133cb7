"""The attempts of one run that pools have, each as a job."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from greenroom.messages.core.frozen import mutable
from greenroom.messages.core.json_text import text_of
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import Completed, Emitted, Execute, Failed, Progress
from greenroom.messages.options.policy import ModelCall
from greenroom.messages.records.attempts import Reservation
from greenroom.supervision.jobs import Answered, Assigned, Job, JobEvent, JobHandle, Lost, PoolKey, Unavailable
from greenroom.workflows.decisions.budgets.reservations import Need, need_of
from greenroom.workflows.decisions.inputs import (
    Input,
    NoWorkers,
    StepAnswered,
    StepAssigned,
    StepLost,
    StepProgressed,
    StepUnaffordable,
    Tick,
)
from greenroom.workflows.decisions.steps.attempts import held, zygotes_lost
from greenroom.workflows.decisions.steps.retried_steps import idempotency_key
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.runs.jobs.emissions import Emissions
from greenroom.workflows.state.run_state import RunState, Step
from greenroom.workflows.state.transcripts import transcript_text

WITHDRAW_GRACE: Final = 0.5
"""Seconds that asynchronous code has to end by itself after its attempt was withdrawn."""
PROGRESS_EVERY: Final = 1.0
"""Seconds between two reports of one attempt's progress. Of those that come between, the newest is kept."""


@mutable
class _Attempt:
    """An attempt that its pool has."""

    key: str
    number: int
    token: str
    recorded_first: bool
    """Whether the choice of its worker must be recorded before it begins."""
    job: JobHandle | None = None
    """None while it waits for a reservation."""
    reserves: bool = False
    """Whether budgets limit the model that it calls."""
    reserved: Reservation | None = None
    """What is reserved of them."""
    waits: bool = False
    """Whether it has reported progress a moment ago, so that what it says now is kept for a while."""
    progress: Json = None
    """What it has said since, if anything."""
    emissions: Emissions | None = None
    """The values that it emits; None before the first."""


def _need(state: RunState, step: Step, model: ModelCall) -> Need:
    """Return what the next attempt of a model step may use."""
    if step.reads is not None:  # the program has measured all of it
        return need_of(model, sum(len(each.encode()) for each in step.feedback))
    asked = step.arguments if step.transcript is None else transcript_text(state, step)
    return need_of(model, len(text_of(asked)) + sum(len(each.encode()) for each in step.feedback))


class StepJobs:
    """Submits attempts to pools, and reports their outcomes. Reactor thread only.

    An attempt may follow from outcomes that are not committed, because the program is sent them at once. The pool then
    holds the attempt until ``wrote`` has been called for each of them.

    Args:
        dependencies: The orchestrator.
        state: The run. It is read whenever an attempt is dispatched.
        report: Takes what happens to attempts, as messages for the run's actor.
    """

    def __init__(self, dependencies: RunDependencies, state: RunState, report: Callable[[Input], None]) -> None:
        """Start without any attempt."""
        self._dependencies = dependencies
        self._state = state
        self._report = report
        self._attempts: dict[str, _Attempt] = {}
        """By token."""
        self._of_steps: dict[str, _Attempt] = {}
        """The same, by step key."""
        self.unreported: dict[str, StepAssigned] = {}
        """By token: assignments that no decision has recorded yet; see ``take_assigned``."""
        self._outcomes_committed = len(state.resolutions)
        self._held_back: deque[tuple[int, str]] = deque()
        """Attempts that are held: the number of outcomes that must be committed first, and the token."""

    def __bool__(self) -> bool:
        """Return whether any attempt is under way."""
        return bool(self._attempts)

    @property
    def moving(self) -> bool:
        """Whether something will happen to an attempt before the next alarm. Those held back by limits only wait."""
        return any(attempt.job is not None and not attempt.job.waits for attempt in self._attempts.values())

    def take_assigned(self) -> list[StepAssigned]:
        """Return the assignments that no decision has recorded yet. The run's actor decides about them before an input.

        For an answer, which is decided about together with its own assignment, it calls ``with_assigned`` instead.
        """
        assigned = list(self.unreported.values())
        self.unreported.clear()
        return assigned

    def with_assigned(self, answered: StepAnswered) -> StepAnswered:
        """Return an answer with the assignment of its attempt, if no decision has recorded that yet."""
        assigned = self.unreported.pop(answered.token, None)
        if assigned is None:
            return answered
        return StepAnswered(answered.key, answered.attempt, answered.token, answered.message, assigned)

    def __contains__(self, key: str) -> bool:
        """Return whether an attempt of this step is under way."""
        return key in self._of_steps

    def dispatch(self, step: Step, attempt: int) -> None:
        """Submit an attempt to its pool, unless the step has one under way. A model step first waits for its budget."""
        if step.key in self._of_steps:
            return
        token = self._dependencies.mint()
        entry = _Attempt(step.key, attempt, token, held(self._state, step))
        self._attempts[token] = self._of_steps[step.key] = entry
        model, budgets = step.options.model, self._dependencies.registry.budgets
        if model is None or not budgets.limits_models(self._state):
            self._submit(entry, step)
            return
        entry.reserves = True
        budgets.reserve(
            self._state,
            token,
            _need(self._state, step, model),
            self._dependencies.clock(),
            partial(self._reserved, entry),
        )

    def _reserved(self, attempt: _Attempt, reserved: Reservation | None) -> None:
        """Submit an attempt for which budgets have room; report that they have none if ``reserved`` is None."""
        if reserved is None:
            del self._attempts[attempt.token]
            del self._of_steps[attempt.key]
            self._report(StepUnaffordable(attempt.key))
        else:
            attempt.reserved = reserved
            self._submit(attempt, self._state.steps[attempt.key])

    def _submit(self, entry: _Attempt, step: Step) -> None:
        state, token = self._state, entry.token
        frame = Execute(
            run_id=state.run_id,
            key=step.key,
            name=step.name,
            step=step.ref,
            attempt=entry.number,
            token=token,
            arguments=step.arguments,
            idempotency_key=idempotency_key(state, step),
            feedback=tuple(step.feedback),
            progress=step.progress if step.attempts else None,
            transcript=transcript_text(state, step) if step.kind == "llm" else None,
            timeout=step.options.timeout if step.kind == "llm" else None,
            stream=step.options.stream,
            max_tokens=None if entry.reserved is None else entry.reserved.max_tokens,
        )
        outcomes = len(state.resolutions)
        if ahead := not entry.recorded_first and outcomes > self._outcomes_committed:
            self._held_back.append((outcomes, token))
        job = Job(
            token=token,
            run_id=state.run_id,
            label=step.key,
            frame=frame,
            reply=self._hear,
            attempt=entry.number,
            timeout=step.options.timeout,
            hold=entry.recorded_first or ahead,
            solo=step.solo,
            avoid=step.attempts[-1].pid if step.attempts else None,
            zygotes_lost=zygotes_lost(step),
        )
        if (model := step.options.model) is not None:
            need = _need(self._state, step, model)
            job = replace(job, model=need.model, tokens=need.expected_tokens)
        pool = PoolKey(state.app, step.kind, step.options.pool or step.kind)
        entry.job = self._dependencies.submit(pool, step.options.limits, job)

    def release(self, token: str) -> None:
        """Start a held attempt, unless it was withdrawn."""
        if (attempt := self._attempts.get(token)) is not None and attempt.job is not None:
            attempt.job.release()

    def wrote(self) -> None:
        """Count one more committed outcome, and start the attempts that waited for it."""
        self._outcomes_committed += 1
        while self._held_back and self._held_back[0][0] <= self._outcomes_committed:
            self.release(self._held_back.popleft()[1])

    def turn_over(self) -> None:
        """Count outcomes from 0 again: the session's turn has ended, and its outcomes are dropped."""
        self._outcomes_committed = 0
        self._held_back.clear()

    def withdraw(self, key: str) -> None:
        """Withdraw the attempt of a step whose result is not needed."""
        if (attempt := self._of_steps.pop(key, None)) is not None:
            del self._attempts[attempt.token]
            self.unreported.pop(attempt.token, None)
            if attempt.job is not None:
                attempt.job.withdraw(grace=WITHDRAW_GRACE)
            self._give_back(attempt)

    def withdraw_all(self) -> None:
        """Withdraw every attempt."""
        for key in tuple(self._of_steps):
            self.withdraw(key)

    def _give_back(self, attempt: _Attempt) -> None:
        """Give back what was reserved for an attempt that has not begun."""
        if attempt.reserves:
            clock = self._dependencies.clock
            self._dependencies.registry.budgets.give_back(self._state, attempt.token, clock())

    def _hear(self, event: JobEvent) -> None:
        """Report what happened to a job."""
        found = self._attempts.get(event.token)
        if found is None:
            return
        key, attempt = found.key, found.number
        if isinstance(event, Answered) and isinstance(event.message, (Progress, Emitted)):
            self._note(found, event.message)
            return
        if not isinstance(event, Assigned):
            if found.emissions is not None:
                found.emissions.flush()
            self._tell_progress(found)
            del self._attempts[event.token]
            del self._of_steps[key]
        match event:
            case Answered(token=token, message=Completed() | Failed() as message):
                self._report(StepAnswered(key, attempt, token, message))
            case Assigned(token=token, worker=worker, pid=pid, incarnation=life):
                now = self._dependencies.clock()
                self._note_assigned(found, StepAssigned(key, attempt, token, worker, pid, life, now, found.reserved))
            case Lost(token=token, exit=gone, charged=charged):
                self._report(StepLost(key, attempt, token, gone, charged))
            case Unavailable(reason=reason, pool=pool):
                self._give_back(found)
                self._report(NoWorkers(reason, pool=pool))
            case Answered(message=message):
                msg = f"step {key} was answered with {message.type}"
                raise AssertionError(msg)

    def _note_assigned(self, attempt: _Attempt, assigned: StepAssigned) -> None:
        """Report an assignment, or keep it for some milliseconds, in which the answer may come."""
        if attempt.recorded_first:
            self._report(assigned)
            return
        if not self.unreported:
            self._dependencies.registry.linger(self._report_assigned)
        self.unreported[attempt.token] = assigned

    def _report_assigned(self) -> None:
        """Send an input, before which the actor decides about the assignments. An answer under way comes first."""
        if self.unreported:
            self._report(Tick())

    def emitted_written(self, key: str) -> None:
        """Let a step emit more, because what it has emitted is committed."""
        attempt = self._of_steps.get(key)
        if attempt is not None and attempt.emissions is not None:
            attempt.emissions.written()

    def _note(self, attempt: _Attempt, said: Progress | Emitted) -> None:
        """Report what an attempt says while it runs."""
        if isinstance(said, Progress):
            self._note_progress(attempt, said.detail)
            return
        if attempt.emissions is None:
            assert attempt.job is not None, "only an attempt that was submitted says anything"
            soon = self._dependencies.reactor.call
            attempt.emissions = Emissions(attempt.key, attempt.number, attempt.token, attempt.job, self._report, soon)
        attempt.emissions.add(said)

    def _note_progress(self, attempt: _Attempt, detail: Json) -> None:
        """Report an attempt's progress, or keep it for a moment if the attempt reports often."""
        if attempt.waits:
            attempt.progress = detail
            return
        self._report(StepProgressed(attempt.key, attempt.number, attempt.token, detail))
        attempt.waits = True
        self._dependencies.reactor.loop.call_later(PROGRESS_EVERY, self._may_report, attempt)

    def _may_report(self, attempt: _Attempt) -> None:
        if attempt.token not in self._attempts:
            return
        if self._tell_progress(attempt):
            self._dependencies.reactor.loop.call_later(PROGRESS_EVERY, self._may_report, attempt)
        else:
            attempt.waits = False

    def _tell_progress(self, attempt: _Attempt) -> bool:
        """Report the progress that was kept, if any; return whether there was some."""
        detail, attempt.progress = attempt.progress, None
        if detail is None:
            return False
        self._report(StepProgressed(attempt.key, attempt.number, attempt.token, detail))
        return True
