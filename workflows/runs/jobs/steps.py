"""The attempts of one run that pools have: each a job, with the words that go to and fro about it."""

from collections import deque
from collections.abc import Callable
from typing import Final

from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import Completed, Execute, Failed, Progress
from greenroom.supervision.jobs import (
    Answered,
    Assigned,
    Job,
    JobEvent,
    Lost,
    PoolKey,
    Release,
    Unavailable,
)
from greenroom.supervision.jobs import (
    Withdraw as WithdrawJob,
)
from greenroom.workflows.decisions.inputs import Input, NoWorkers, StepAnswered, StepAssigned, StepLost, StepProgressed
from greenroom.workflows.decisions.steps.attempts import held, zygotes_lost
from greenroom.workflows.decisions.steps.retried_steps import idempotency_key
from greenroom.workflows.runs.dependencies import PoolRef, RunDependencies
from greenroom.workflows.state.run_state import RunState, Step

WITHDRAW_GRACE: Final = 0.5
"""Seconds that asynchronous code has to end by itself once nobody waits for it."""
PROGRESS_EVERY: Final = 1.0
"""Seconds between two reports of one attempt's progress; of what it says in between, the newest is kept."""


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
        self._attempts: dict[str, tuple[str, int]] = {}
        """Step key and attempt number, by token."""
        self._pools: dict[str, PoolRef] = {}
        """Which pool has it, by token."""
        self._tokens: dict[str, str] = {}
        """Token by step key."""
        self._progress: dict[str, Json] = {}
        """By token, for attempts that have reported progress a moment ago: what they have said since, if anything."""
        self._outcomes_on_disk = len(state.resolutions)
        self._ahead: deque[tuple[int, str]] = deque()
        """Attempts held back: how many outcomes have to be on the disk first, and the token."""

    def __bool__(self) -> bool:
        """Say whether any attempt is under way."""
        return bool(self._tokens)

    def __contains__(self, key: str) -> bool:
        """Say whether an attempt of this step is under way."""
        return key in self._tokens

    def dispatch(self, step: Step, attempt: int) -> None:
        """Give an attempt to its pool, unless the step has one under way."""
        if step.key in self._tokens:
            return
        token = self._services.mint()
        self._attempts[token] = (step.key, attempt)
        self._tokens[step.key] = token
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
        self._pools[token] = self._services.submit(pool, step.options.limits, job)

    def release(self, token: str) -> None:
        """Let a held attempt begin, unless it was withdrawn."""
        if token in self._pools:
            self._pools[token].tell(Release(token))

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
        if (token := self._tokens.pop(key, None)) is not None:
            del self._attempts[token]
            self._pools.pop(token).tell(WithdrawJob(token, grace=WITHDRAW_GRACE))

    def withdraw_all(self) -> None:
        """Stop every attempt."""
        for key in tuple(self._tokens):
            self.withdraw(key)

    def _hear(self, event: JobEvent) -> None:
        """Turn what became of a job into a message to the supervisor."""
        found = self._attempts.get(event.token)
        if found is None:
            return
        key, attempt = found
        if isinstance(event, Answered) and isinstance(event.message, Progress):
            self._note_progress(event.token, event.message.detail)
            return
        if not isinstance(event, Assigned):
            if self._progress:
                self._tell_progress(event.token)
                self._progress.pop(event.token, None)
            del self._attempts[event.token]
            del self._pools[event.token]
            del self._tokens[key]
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

    def _note_progress(self, token: str, detail: Json) -> None:
        """Report what an attempt says of its progress, or keep it for a moment where it says much."""
        if token in self._progress:
            self._progress[token] = detail
            return
        key, attempt = self._attempts[token]
        self._report(StepProgressed(key, attempt, token, detail))
        self._progress[token] = None
        self._services.reactor.loop.call_later(PROGRESS_EVERY, self._moment_over, token)

    def _moment_over(self, token: str) -> None:
        if token not in self._progress:
            return
        if self._tell_progress(token):
            self._services.reactor.loop.call_later(PROGRESS_EVERY, self._moment_over, token)
        else:
            del self._progress[token]

    def _tell_progress(self, token: str) -> bool:
        """Report what was kept, if anything."""
        detail, known = self._progress.get(token), self._attempts.get(token)
        if detail is None or known is None:
            return False
        self._report(StepProgressed(*known, token, detail))
        self._progress[token] = None
        return True
