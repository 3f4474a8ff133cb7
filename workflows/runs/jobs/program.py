"""The program of one run: a streaming job in a program worker, and what waits for it or for its answers."""

from collections import deque
from collections.abc import Callable
from typing import Final

from greenroom.messages.core.json_text import text_of
from greenroom.messages.frames.envelope import MOST_TURN_FRAMES
from greenroom.messages.frames.worker import (
    EndProgram,
    ProgramCommand,
    Resolution,
    Resolve,
    SessionTurn,
    StartProgram,
    Turn,
)
from greenroom.supervision.jobs import (
    Answered,
    Assigned,
    Job,
    JobEvent,
    JobHandle,
    Lost,
    PoolKey,
    Unavailable,
)
from greenroom.workflows.decisions.inputs import (
    Confirmed,
    Decide,
    Input,
    NoWorkers,
    ProgramAssigned,
    ProgramLost,
    ProgramTurn,
)
from greenroom.workflows.decisions.replay.expectations import digests, references, withdrawn
from greenroom.workflows.runs.dependencies import Workers
from greenroom.workflows.state.run_state import RunState

HISTORY_BYTES: Final = 4 * 1024 * 1024
"""Size of the recorded outcomes that are sent with a program's start; the others follow one by one."""


class ProgramJob:
    """Starts, feeds and ends the program of one run. Reactor thread only.

    Args:
        dependencies: Gives the program to a worker.
        run_id: The run.
        report: Takes what happens to the program, as messages for the run's actor.
    """

    def __init__(self, dependencies: Workers, run_id: str, report: Callable[[Input], None]) -> None:
        """Start without a program."""
        self._dependencies = dependencies
        self._run_id = run_id
        self._report = report
        self._sent = 0
        """Number of the state's resolutions that this program has been sent."""
        self._token: str | None = None
        self._job: JobHandle | None = None
        self.worker: str | None = None
        """The worker that has the program."""
        self._unsent: list[Resolution] = []
        """Outcomes that came after the start was submitted and before a worker had it."""
        self._unanswered = 0
        """Turns that the program has yet to answer."""
        self._unwritten = 0
        """Commits that the program has yet to be told of."""
        self._begins = True
        """Whether its first turn, which follows from the outcomes that it was started with, is one of them."""
        self._begun: tuple[ProgramCommand, ...] = ()
        """Commands of a turn whose last frame has not arrived. Lost with the program, so a turn counts as a whole."""
        self._frames = 0
        """Number of frames of such a turn so far."""

    @property
    def busy(self) -> bool:
        """Whether the program runs, or is about to start."""
        return self._token is not None and self._unanswered > 0

    def has_answered(self, state: RunState, outcomes: int, since: int) -> bool:
        """Return whether the program has said what follows from some outcomes, and from each timer that fired.

        Until then it may be about to withdraw what it awaits.

        Args:
            state: The run.
            outcomes: How many of its outcomes.
            since: Number of outcomes when the program asked for what it awaits. A program that is started again heard
                these in its life before.
        """
        answered = since if self._begins else self._sent - self._unanswered
        return answered >= outcomes and all(item.kind != "timer" for item in state.resolutions[answered:])

    def has_heard(self, state: RunState) -> bool:
        """Return whether a worker has the program, and it has answered all outcomes of the run and awaits no commit."""
        unheard = self._unanswered or self._unwritten
        return self._token is not None and not unheard and self._sent == len(state.resolutions)

    def start(self, state: RunState, *, trial: bool = False, tells_rest: bool = False) -> None:
        """Submit the program to its pool, with every recorded outcome.

        Args:
            state: The run.
            trial: Only compare what the program asks for with what is recorded.
            tells_rest: With ``trial``: also report what it asks for after that.
        """
        if self._token is not None:
            return
        self._token = self._dependencies.mint()
        self.worker = None
        history, self._unsent = _split(state.resolutions)
        self._sent = len(history)
        self._unanswered = 1
        known = state.known_keys()
        frame = StartProgram(
            run_id=self._run_id,
            workflow=state.workflow,
            version=state.version,
            fingerprint=state.fingerprint,
            arguments=state.arguments,
            started_at=state.begun_at if state.session is None or state.letter is None else state.letter[1].at,
            seed=state.seed or state.run_id,
            turn=_turn(state),
            later_seeds=state.later_seeds,
            history=tuple(history),
            known=known,
            emitted=state.emitted,
            digests=digests(state, known),
            form=state.form,
            references=references(state),
            withdrawn=withdrawn(state),
            following=len(self._unsent),
            trial=trial,
            tells_rest=tells_rest,
        )
        job = Job(
            token=self._token,
            run_id=self._run_id,
            label=state.workflow,
            frame=frame,
            reply=self._hear,
            streaming=True,
        )
        self._job = self._dependencies.submit(PoolKey(state.app, "program", "program"), None, job)

    def tell(self, state: RunState) -> None:
        """Send the program the outcomes that it does not know; do nothing without a program."""
        if self._token is None:
            return
        new = state.resolutions[self._sent + len(self._unsent) :]
        if self.worker is not None:
            for resolution in new:
                self._send(resolution)
        else:
            self._unsent.extend(new)

    def expect_written(self) -> None:
        """Remember that the program goes on once it is told of a commit."""
        self._unwritten += 1

    def written(self) -> None:
        """Tell the program that what it asked for is committed; do nothing without a program.

        A program that was started since then has not asked, and ignores this.
        """
        self._unwritten -= 1
        if self.worker is not None:
            self._send(Resolution(key="", kind="written"), told=0)

    def end(self) -> None:
        """End the program."""
        if (job := self._job) is not None:
            self._forget()
            job.withdraw(farewell=EndProgram(run_id=self._run_id))

    def _send(self, resolution: Resolution, told: int = 1) -> None:
        assert self._job is not None
        self._sent += told
        self._unanswered += 1
        self._job.send(Resolve(run_id=self._run_id, resolution=resolution))

    def _hear(self, event: JobEvent) -> None:
        if event.token != self._token:
            return
        match event:
            case Assigned(worker=worker, pid=pid, incarnation=life):
                self.worker = worker
                self._report(ProgramAssigned(worker, pid, life))
                unsent, self._unsent = self._unsent, []
                for resolution in unsent:
                    self._send(resolution)
            case Answered(message=Turn() as turn):
                self._take(turn)
            case Lost(exit=gone, charged=charged):
                self._forget()
                self._report(ProgramLost(gone, charged))
            case Unavailable(reason=reason, unsendable=unsendable, pool=pool):
                self._forget()
                self._report(NoWorkers(reason, unsendable, pool))
            case Answered(message=message):
                msg = f"a program answered with {message.type}"
                raise AssertionError(msg)

    def _take(self, turn: Turn) -> None:
        """Report a turn, once its last frame is here."""
        if turn.more:
            self._begun += turn.commands
            self._frames += 1
            if self._frames == MOST_TURN_FRAMES and self._job is not None:
                self._job.accuse(f"sent a turn in more than {MOST_TURN_FRAMES} frames")
            return
        self._unanswered -= 1
        self._begins = False
        if self._frames:
            turn = turn.model_copy(update={"commands": (*self._begun, *turn.commands)})
            self._begun, self._frames = (), 0
        self._report(ProgramTurn(turn))

    def _forget(self) -> None:
        self._token = self._job = self.worker = None
        self._unanswered, self._begins = 0, True
        self._begun, self._frames = (), 0


class WaitingDecisions:
    """Holds decisions until the program is sure to hear of them, or has withdrawn the question. Reactor thread only.

    A program that has yet to answer an outcome may be about to withdraw what was decided: that outcome may be the end
    of the time for the decision. So whoever decides is told which of the two came first.

    Args:
        state: The run.
        program: Its program.
    """

    def __init__(self, state: RunState, program: ProgramJob) -> None:
        """Start without any."""
        self._state = state
        self._program = program
        self.waiting: deque[tuple[int, Confirmed]] = deque()
        """Decisions, oldest first, each with the number of outcomes when it came."""

    def add(self, decision: Confirmed) -> None:
        """Add a decision."""
        self.waiting.append((len(self._state.resolutions), decision))

    def take(self, *, unread: bool, dozes: bool) -> Confirmed | None:
        """Remove and return the oldest decision; None if there is none, or if it has to wait.

        Args:
            unread: Whether the run's actor has not read all that the program has answered.
            dozes: Whether the run has no program because all that it does is to wait.
        """
        if not self.waiting:
            return None
        outcomes, decision = self.waiting[0]
        if not dozes and self._must_wait(decision.happened, outcomes, unread=unread):
            return None
        self.waiting.popleft()
        return decision

    def _must_wait(self, happened: Input, outcomes: int, *, unread: bool) -> bool:
        state = self._state
        question = state.questions.get(happened.key) if isinstance(happened, Decide) else None
        if question is None or state.ended is not None or state.halted:
            return False
        return unread or not self._program.has_answered(state, outcomes, question.outcomes)

    def leave(self) -> list[Confirmed]:
        """Remove and return all decisions, for the next actor of the run."""
        waiting, self.waiting = self.waiting, deque()
        return [decision for _, decision in waiting]


def _turn(state: RunState) -> SessionTurn | None:
    """Return the message that a session's handler has to handle; None if the program is a workflow's."""
    if state.session is None or state.letter is None:
        return None
    number, letter = state.letter
    return SessionTurn(number=number, name=letter.name, value=letter.value, state=state.shared)


def _split(resolutions: list[Resolution]) -> tuple[list[Resolution], list[Resolution]]:
    """Split a history before it is too long for one frame."""
    size = 0
    for index, resolution in enumerate(resolutions):
        size += len(resolution.model_dump_json(exclude={"value"})) + len(text_of(resolution.value))
        if size > HISTORY_BYTES:
            return resolutions[:index], resolutions[index:]
    return resolutions, []
