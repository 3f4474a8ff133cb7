"""The attempts of one run that pools have: each a job, with the words that go to and fro about it."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import Completed, Execute, Failed, Progress
from greenroom.supervision.jobs import Answered, Assigned, Job, JobEvent, JobHandle, Lost, PoolKey, Unavailable
from greenroom.workflows.decisions.inputs import Input, NoWorkers, StepAnswered, StepAssigned, StepLost, StepProgressed
from greenroom.workflows.decisions.steps.attempts import held, zygotes_lost
from greenroom.workflows.decisions.steps.retried_steps import idempotency_key
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.state.run_state import RunState, Step

WITHDRAW_GRACE: Final = 0.5
"""Seconds that asynchronous code has to end by itself once nobody waits for it."""
PROGRESS_EVERY: Final = 1.0
"""Seconds between two reports of one attempt's progress; of what it says in between, the newest is kept."""


@dataclass(slots=True)
class _Attempt:
    """An attempt that its pool has."""

    key: str
    number: int
    token: str
    job: JobHandle
    waits: bool = False
    """Whether it has reported progress a moment ago, so that what it says now is kept for a while."""
    progress: Json = None
    """What it has said since, if anything."""


class StepJobs:
    """Gives attempts to pools and hears what becomes of them. Reactor's thread only.

    An attempt may follow from outcomes that are still being written, since the program hears of them at once. Its pool
    then holds it back until ``wrote`` has been called for each of them.

    Args:
        services: The orchestrator.
        state: The run; read whenever an attempt is dispatched.
        report: Takes what becomes of attempts, as messages for the supervisor.
    """

    def __init__(self, services: RunDependencies, state: RunState, report: Callable[[Input], None]) -> None:
        """Begin with no attempt."""
        self._services = services
        self._state = state
        self._report = report
        self._attempts: dict[str, _Attempt] = {}
        """By token."""
        self._of_steps: dict[str, _Attempt] = {}
        """The same, by step key."""
        self._outcomes_on_disk = len(state.resolutions)
        self._ahead: deque[tuple[int, str]] = deque()
        """Attempts held back: how many outcomes have to be on the disk first, and the token."""

    def __bool__(self) -> bool:
        """Say whether any attempt is under way."""
        return bool(self._attempts)

    def __contains__(self, key: str) -> bool:
        """Say whether an attempt of this step is under way."""
        return key in self._of_steps

    def dispatch(self, step: Step, attempt: int) -> None:
        """Give an attempt to its pool, unless the step has one under way."""
        if step.key in self._of_steps:
            return
        token = self._services.mint()
        state = self._state
        frame = Execute(
            run_id=state.run_id,
            key=step.key,
            name=step.name,
            step=step.ref,
            attempt=attempt,
            token=token,
            arguments=step.arguments,
            idempotency_key=idempotency_key(state, step),
            feedback=tuple(step.feedback),
            progress=step.progress if step.attempts else None,
        )
        outcomes, recorded_first = len(state.resolutions), held(state, step)
        if ahead := not recorded_first and outcomes > self._outcomes_on_disk:
            self._ahead.append((outcomes, token))
        job = Job(
            token=token,
            run_id=state.run_id,
            label=step.key,
            frame=frame,
            reply=self._hear,
            attempt=attempt,
            timeout=step.options.timeout,
            hold=recorded_first or ahead,
            solo=step.solo,
            avoid=step.attempts[-1].pid if step.attempts else None,
            zygotes_lost=zygotes_lost(step),
        )
        pool = PoolKey(state.app, step.kind, step.options.pool or step.kind)
        handle = self._services.submit(pool, step.options.limits, job)
        self._attempts[token] = self._of_steps[step.key] = _Attempt(step.key, attempt, token, handle)

    def release(self, token: str) -> None:
        """Let a held attempt begin, unless it was withdrawn."""
        if (attempt := self._attempts.get(token)) is not None:
            attempt.job.release()

    def wrote(self) -> None:
        """One more outcome is on the disk: let the attempts begin that may follow from it."""
        self._outcomes_on_disk += 1
        while self._ahead and self._ahead[0][0] <= self._outcomes_on_disk:
            self.release(self._ahead.popleft()[1])

    def turn_over(self) -> None:
        """The session's turn has ended, and its outcomes are forgotten: count from nothing again."""
        self._outcomes_on_disk = 0
        self._ahead.clear()

    def withdraw(self, key: str) -> None:
        """Stop the attempt of a step that nobody waits for."""
        if (attempt := self._of_steps.pop(key, None)) is not None:
            del self._attempts[attempt.token]
            attempt.job.withdraw(grace=WITHDRAW_GRACE)

    def withdraw_all(self) -> None:
        """Stop every attempt."""
        for key in tuple(self._of_steps):
            self.withdraw(key)

    def _hear(self, event: JobEvent) -> None:
        """Turn what became of a job into a message to the supervisor."""
        found = self._attempts.get(event.token)
        if found is None:
            return
        key, attempt = found.key, found.number
        if isinstance(event, Answered) and isinstance(event.message, Progress):
            self._note_progress(found, event.message.detail)
            return
        if not isinstance(event, Assigned):
            self._tell_progress(found)
            del self._attempts[event.token]
            del self._of_steps[key]
        match event:
            case Assigned(token=token, worker=worker, pid=pid, incarnation=life):
                self._report(StepAssigned(key, attempt, token, worker, pid, life))
            case Answered(token=token, message=Completed() | Failed() as message):
                self._report(StepAnswered(key, attempt, token, message))
            case Lost(token=token, exit=gone, charged=charged):
                self._report(StepLost(key, attempt, token, gone, charged))
            case Unavailable(reason=reason, pool=pool):
                self._report(NoWorkers(reason, pool=pool))
            case Answered(message=message):
                msg = f"step {key} was answered with {message.type}"
                raise AssertionError(msg)

    def _note_progress(self, attempt: _Attempt, detail: Json) -> None:
        """Report an attempt's progress, or keep it for a moment if the attempt reports often."""
        if attempt.waits:
            attempt.progress = detail
            return
        self._report(StepProgressed(attempt.key, attempt.number, attempt.token, detail))
        attempt.waits = True
        self._services.reactor.loop.call_later(PROGRESS_EVERY, self._moment_over, attempt)

    def _moment_over(self, attempt: _Attempt) -> None:
        if attempt.token not in self._attempts:
            return
        if self._tell_progress(attempt):
            self._services.reactor.loop.call_later(PROGRESS_EVERY, self._moment_over, attempt)
        else:
            attempt.waits = False

    def _tell_progress(self, attempt: _Attempt) -> bool:
        """Report the progress that was kept, if any; return whether there was some."""
        detail, attempt.progress = attempt.progress, None
        if detail is None:
            return False
        self._report(StepProgressed(attempt.key, attempt.number, attempt.token, detail))
        return True
