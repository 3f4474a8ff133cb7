"""Route messages to runs and sessions, and replies to those who wait for them."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from loguru import logger

from greenroom.journal.event_pages import stored_events
from greenroom.journal.interface import Journal, RunRow
from greenroom.messages.advice import advises, resume
from greenroom.messages.commands import Accepted, RefusalCode, Refused, Reply, TurnAnswered
from greenroom.messages.core.errors import (
    ApprovalClosed,
    ApprovalNotFound,
    GreenroomError,
    JournalError,
    MailboxFull,
    RunEnded,
    SessionClosed,
    none_such,
)
from greenroom.messages.core.frozen import frozen
from greenroom.messages.events.events import MessageReceived, SessionOpened, StepFailed, TurnEnded, TurnFailed
from greenroom.messages.frames.replay_differences import FORM
from greenroom.messages.ids import sent_key
from greenroom.messages.options.policy import SessionPolicy
from greenroom.messages.refusals import message_too_long, unanswered
from greenroom.workflows.decisions.inputs import Confirmed, Delivered, Input, Signal
from greenroom.workflows.queries.event_marks import marked_event
from greenroom.workflows.runs.registry import RunRegistry
from greenroom.workflows.schedules.queries import is_schedule
from greenroom.workflows.state.run_state import RunState, SentMessage

T = TypeVar("T")

_NO_POLICY: Final = SessionPolicy()
RETRY: Final = 1.0
"""Seconds between two deliveries of a message to a mailbox that is full."""

_REFUSALS: Final[dict[type[GreenroomError], RefusalCode]] = {
    MailboxFull: "full",
    RunEnded: "ended",
    SessionClosed: "session_closed",
    ApprovalNotFound: "not_found",
    ApprovalClosed: "conflict",
}
"""Codes of the errors with which a run or a session refuses a message."""

Over: TypeAlias = TurnEnded | TurnFailed


@frozen
class Address:
    """The address of a session, which may not be open yet."""

    app: str
    """The app with its handler; empty if the session must be open already."""
    session: str
    key: str
    policy: SessionPolicy = _NO_POLICY

    @property
    def run_id(self) -> str:
        """The session's id in the journal."""
        return f"{self.session}/{self.key}"


class MessageRouter:
    """Delivers messages. Reactor thread only; nothing here blocks it.

    Args:
        runs: The registry of runs.
        journal: The journal, which is read in threads of the loop's executor.
        clock: Returns seconds since the Unix epoch.
    """

    def __init__(self, runs: RunRegistry, journal: Journal, clock: Callable[[], float]) -> None:
        """Start without any message under way."""
        self._runs = runs
        self._journal = journal
        self._clock = clock
        self._waiting: dict[tuple[str, int], list[asyncio.Future[Over | Refused]]] = {}
        """Futures of replies, by session and number of the message."""
        self.asking = 0
        """Number of callers that wait for a reply to a message that was accepted."""
        self._tasks: set[asyncio.Task[Any]] = set()
        """Deliveries under way: a loop refers to its tasks weakly."""

    # ------------------------------------------------------------ from outside

    async def tell_run(self, run_id: str, happened: Input) -> Accepted | Refused:
        """Send a message to a run. Return after the commit of what follows from it."""
        if is_schedule(run_id) or not await self.app_of(run_id):
            return Refused(code="not_found", message=none_such(run_id))
        return await self._send(run_id, happened)

    async def tell(
        self, address: Address, signal: Signal, waiting: "asyncio.Future[Over | Refused] | None" = None
    ) -> Accepted | Refused:
        """Send a message to a session, which is opened if this is its first. Return after the commit.

        Args:
            address: The session.
            signal: The message, which was checked.
            waiting: Is given the end of the session's turn with this message.
        """
        run_id = address.run_id
        if (refused := await self._open(address)) is not None:
            return refused
        answer = await self._send(run_id, signal, waiting)
        if isinstance(answer, Refused) and answer.code == "session_closed" and signal.key is not None:
            number = await self._read(partial(self._number, run_id, signal.key))
            if number:  # it was accepted before the session was closed
                answer = Accepted(run_id=run_id, created=False, number=number)
        if waiting is not None and isinstance(answer, Accepted) and not answer.created:
            assert signal.key is not None
            over = await self._read(partial(self._find_turn, run_id, signal.key, answer.number))
            if over is not None and not waiting.done():
                waiting.set_result(over)
        return answer

    async def ask(self, address: Address, signal: Signal, timeout: float | None) -> Reply:  # noqa: ASYNC109  the contract's word
        """Send a message to a session, and wait for the reply."""
        waiting: asyncio.Future[Over | Refused] = asyncio.get_running_loop().create_future()
        telling = self._begin(self.tell(address, signal, waiting))
        try:
            accepted = await asyncio.shield(telling)  # the message is sent even if the caller is cancelled
        except asyncio.CancelledError:
            waiting.cancel()
            raise
        if isinstance(accepted, Refused):
            return accepted
        place = address.run_id, accepted.number
        if not waiting.done() and (parked := await self._parked(address.run_id)) is not None:
            self._forget(place, waiting)
            return parked
        self.asking += 1
        try:
            async with asyncio.timeout(timeout):
                over = await waiting
        except TimeoutError:
            assert timeout is not None
            return unanswered(address.run_id, timeout)
        finally:
            self.asking -= 1
            self._forget(place, waiting)
        return over if isinstance(over, Refused) else _answered(address.run_id, over)

    async def _parked(self, run_id: str) -> Refused | None:
        """Return why a parked session does not answer; None if it is not parked."""
        if (state := self._runs.state(run_id)) is not None:
            return stopped(state) if state.halted == "parked" else None
        row = await self.row(run_id)
        return _refusal(run_id, row.reason) if row is not None and row.status == "parked" else None

    def _forget(self, place: tuple[str, int], waiting: "asyncio.Future[Over | Refused]") -> None:
        listed = self._waiting.get(place, [])
        if waiting in listed:
            listed.remove(waiting)
        if not listed:
            self._waiting.pop(place, None)

    async def _open(self, address: Address) -> Refused | None:
        """Open a session, unless it is open. Return the refusal if it cannot be opened."""
        app = await self.app_of(address.run_id)
        if app and address.app in ("", app):
            return None
        if app:
            message = f"session {address.run_id} was opened by {app}; send it messages from there"
            return Refused(code="conflict", message=message)
        if not address.app:
            return Refused(code="not_found", message=none_such(address.run_id))
        first = SessionOpened(
            at=self._clock(),
            run_id=address.run_id,
            app=address.app,
            session=address.session,
            key=address.key,
            seed=secrets.token_hex(16),
            on_failure=address.policy.on_failure,
            budget=address.policy.budget,
            form=FORM,
        )
        answer = await self._runs.starter.open(first)
        return answer if isinstance(answer, Refused) else None

    async def _send(
        self, run_id: str, happened: Input, waiting: "asyncio.Future[Over | Refused] | None" = None
    ) -> Accepted | Refused:
        receipt: asyncio.Future[tuple[GreenroomError | None, int]] = asyncio.get_running_loop().create_future()

        def heard(error: GreenroomError | None, number: int) -> None:
            if waiting is not None and not waiting.done() and error is None:
                # before the session's turn can have ended
                self._waiting.setdefault((run_id, abs(number)), []).append(waiting)
            receipt.set_result((error, number))

        self._runs.route(run_id, Confirmed(happened, heard))
        error, number = await receipt
        if error is None:
            return Accepted(run_id=run_id, created=number >= 0, number=abs(number))
        return Refused(code=_REFUSALS.get(type(error), "closed"), message=str(error))

    async def app_of(self, run_id: str) -> str:
        """Return the app of a run or session; empty if there is no such run."""
        if (state := self._runs.state(run_id)) is not None:
            return state.app
        row = await self.row(run_id)
        return "" if row is None else row.app

    async def row(self, run_id: str) -> RunRow | None:
        """Return a run's line in the index."""
        row: RunRow | None = await self._read(partial(self._journal.run, run_id))
        return row

    async def dead_letter(self, run_id: str, letter: str) -> TurnFailed | StepFailed | None:
        """Return the event that made a message or a step a dead letter; None if it is none."""
        found: TurnFailed | StepFailed | None = await self._read(partial(self._dead_letter, run_id, letter))
        return found

    # ------------------------------------------------------------ what the actors of runs ask for

    def deliver(self, state: RunState, key: str) -> None:
        """See ``Router``."""
        self._begin(self._deliver(state.run_id, state.app, key, state.outgoing[key]))

    def _begin(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _deliver(self, sender: str, app: str, key: str, letter: SentMessage) -> None:
        signal = Signal(letter.name, letter.value, key=sent_key(sender, key))
        name, slash, session_key = letter.to.partition("/")
        while True:
            if (long := message_too_long(letter.value)) is not None:
                answer: Accepted | Refused = long
            elif slash:
                answer = await self.tell(Address(app, name, session_key, letter.policy), signal)
            else:
                answer = await self.tell_run(letter.to, signal)
            if isinstance(answer, Refused) and answer.code == "closed":
                return  # this orchestrator ends; the next one delivers the message
            if isinstance(answer, Accepted) or answer.code != "full":
                break
            await asyncio.sleep(RETRY)  # the receiver does not report when it has room again
        refused = answer.message if isinstance(answer, Refused) else None
        if refused is not None:
            logger.warning("run {} sent {} a message that was not taken: {}", sender, letter.to, refused)
        self._runs.route(sender, Delivered(key, refused))

    def look_up(self, run_id: str, key: str, found: Callable[[int | GreenroomError], None]) -> None:
        """See ``Router``."""

        def looked(future: "asyncio.Future[int]") -> None:
            if future.cancelled():
                return  # the orchestrator is closing
            if (error := future.exception()) is not None:
                found(JournalError(f"the keys of session {run_id} cannot be read: {error}"))
            else:
                found(future.result())

        reading = asyncio.get_running_loop().run_in_executor(None, self._number, run_id, key)
        reading.add_done_callback(looked)

    def answer(self, run_id: str, event: Over) -> None:
        """See ``Router``."""
        for waiting in self._waiting.pop((run_id, event.number), ()):
            if not waiting.done():
                waiting.set_result(event)

    def stopped(self, state: RunState) -> None:
        """See ``Router``."""
        for place in [place for place in self._waiting if place[0] == state.run_id]:
            for waiting in self._waiting.pop(place):
                if not waiting.done():
                    waiting.set_result(stopped(state))

    # ------------------------------------------------------------ reading the journal, in threads

    async def _read(self, job: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, job)

    def _number(self, run_id: str, key: str) -> int:
        """Return the number of the message with a key, 0 if there is none."""
        for mark in self._journal.marks("message", run_id, key):
            received: MessageReceived = marked_event(self._journal, mark)
            return received.number
        return 0

    def _dead_letter(self, run_id: str, letter: str) -> TurnFailed | StepFailed | None:
        for mark in self._journal.marks("dead_letter", run_id, letter):
            set_aside: TurnFailed | StepFailed = marked_event(self._journal, mark)
            return set_aside
        return None

    def _find_turn(self, run_id: str, key: str, number: int) -> Over | None:
        """Return the end of the turn with a message; None if it has not ended."""
        for mark in self._journal.marks("message", run_id, key):
            for stored in stored_events(self._journal, run_id, after=mark.seq):
                if isinstance(stored.event, (TurnEnded, TurnFailed)) and stored.event.number == number:
                    return stored.event
        return None


def _answered(run_id: str, over: Over) -> TurnAnswered:
    if isinstance(over, TurnEnded):
        return TurnAnswered(run_id=run_id, number=over.number, reply=over.reply)
    sentence = over.failure.told()
    return TurnAnswered(run_id=run_id, number=over.number, failure=sentence, step=over.step, raised=over.failure)


def stopped(state: RunState) -> Refused:
    """Return why a session that has ended or is parked does not answer."""
    if state.ended is not None:
        return Refused(code="ended", message=f"session {state.run_id} was {state.status}: {state.reason or 'it ended'}")
    return _refusal(state.run_id, state.reason)


def _refusal(run_id: str, reason: str | None) -> Refused:
    way = "" if advises(reason or "") else f"; once the cause is mended, it goes on with {resume(run_id)}"
    return Refused(code="parked", message=f"session {run_id} is parked, and the message waits there{way}: {reason}")
