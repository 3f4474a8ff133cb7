"""The handle of a session."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from greenroom.actors.api.emit import check_channel
from greenroom.actors.definitions.sessions import SessionDefinition
from greenroom.actors.failures.reconstruction import with_location
from greenroom.journal.event_pages import stored_events
from greenroom.journal.interface import Stored
from greenroom.messages.commands import (
    Accepted,
    AskSession,
    CancelTurn,
    CloseSession,
    Command,
    Reply,
    TellSession,
    TurnAnswered,
)
from greenroom.messages.core.errors import TurnFailed
from greenroom.messages.core.json_text import shown
from greenroom.messages.core.other_names import OtherNames
from greenroom.messages.core.times import Seconds, limit
from greenroom.messages.options.policy import SessionPolicy
from greenroom.messages.records.evaluation import Evaluation
from greenroom.messages.records.records import RunStatus, SessionRecord, StepRecord, StreamItem, TurnRecord
from greenroom.messages.refusals import check, checked
from greenroom.workflows.api.handles.items import Items
from greenroom.workflows.api.threads import Threads, warn_on_loop
from greenroom.workflows.queries.interface import Queries

if TYPE_CHECKING:
    from greenroom.messages.transcript import TranscriptMessage
    from greenroom.workflows.api.handles.async_session import AsyncSession
    from greenroom.workflows.api.handles.twins import Twins

S = TypeVar("S", bound=BaseModel)
M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")


class SessionHost(Protocol):
    """What a handle needs of the orchestrator or client it came from. Thread-safe."""

    @property
    def reads(self) -> Queries:
        """Reads of sessions."""
        ...

    def send(self, command: Command) -> Reply:
        """Execute a command."""
        ...

    def post(self, command: TellSession, policy: SessionPolicy) -> Reply:
        """Send a valid message."""
        ...

    async def until_answered(self, command: AskSession, policy: SessionPolicy) -> Reply:
        """Send a valid message and await the reply."""
        ...

    def follow(self, run_id: str, after: int) -> Iterator[Stored]:
        """Yield the events above ``after`` as they are committed, until the session is closed or parked."""
        ...

    def until_followed(self, run_id: str, after: int) -> AsyncIterator[Stored]:
        """Yield the same events without blocking the caller's loop."""
        ...

    @property
    def threads(self) -> Threads:
        """Threads for short calls of event loops."""
        ...

    @property
    def twins(self) -> "Twins":
        """What makes the twins of handles."""
        ...


@dataclass(frozen=True, slots=True)
class Turn(Generic[M, R]):
    """One message to a session, and its outcome. Times are in UTC."""

    number: int
    message: M
    reply: R | None
    """None until the message is answered."""
    status: str
    """``"waiting"``, ``"running"``, ``"answered"`` or ``"failed"``."""
    error: str | None
    key: str | None
    received_at: datetime
    ended_at: datetime | None
    steps: tuple[StepRecord, ...]
    evaluations: tuple[Evaluation, ...] = ()
    """Background scores of the reply."""


class Session(OtherNames, Generic[S, M, R]):
    """One session of a handler. Thread-safe.

    Its first message opens it. Everything it returns is committed.
    """

    def __init__(self, host: SessionHost, definition: SessionDefinition, key: str) -> None:
        """Made by the orchestrator."""
        self.name = definition.name
        self.key = key
        self.id = f"{definition.name}/{key}"
        self._host = host
        self._definition = definition

    def __repr__(self) -> str:
        """Name the session."""
        return f"<Session {self.id}>"

    @property
    def host(self) -> SessionHost:
        """The orchestrator or client that it came from."""
        return self._host

    def ask(self, message: M, timeout: Seconds | None = None, key: str | None = None) -> R:
        """Send a message and wait for the reply.

        Args:
            message: One of the models that the handler takes.
            timeout: Most seconds to wait. After a timeout the message stays, and is answered in its turn.
            key: Idempotency key: a message with the key of an earlier one is not sent again, and has the same reply.
                Pass one to ask again after a timeout or a lost connection.

        Raises:
            TurnFailed: The handler failed at the message, which is a dead letter now.
            InvalidInput: The handler takes no such message.
            MailboxFull: Too many messages wait.
            SessionClosed: The session was closed.
            RunParked: The session waits for a person; the message waits there.
            TimeoutError: There was no reply in time.
        """
        warn_on_loop("session.ask()", "await session.aio.ask(...)")
        __tracebackhide__ = True  # pytest then starts its report at the caller's line
        command = question(self._definition, self.key, message, timeout, key)
        reply: R = reply_of(self._definition, self._host.post(command, self._definition.policy))
        return reply

    def tell(self, message: M, key: str | None = None) -> None:
        """Send a message without waiting for the reply. Returns once the message is committed.

        Args:
            message: One of the models that the handler takes.
            key: Idempotency key: a message with the key of an earlier one is not sent again.

        Raises:
            InvalidInput: The handler takes no such message.
            MailboxFull: Too many messages wait.
            SessionClosed: The session was closed.
        """
        command = checked(TellSession, **_fields(self._definition, self.key, message, key))
        check(self._host.post(command, self._definition.policy))

    @property
    def aio(self) -> "AsyncSession[S, M, R]":
        """Its twin for asynchronous code: everything that blocks here is awaited there."""
        return self._host.twins.session(self, self._definition)

    @property
    def state(self) -> S:
        """The state as of the newest ended turn; the initial state before that."""
        json = self._host.reads.session_state(self.id)
        state: Any = self._definition.read_state(json)
        return state  # type: ignore[no-any-return]

    @property
    def record(self) -> SessionRecord:
        """The session's entry in the index.

        Raises:
            RunNotFound: The session has not been opened.
        """
        return self._host.reads.session(self.id)

    @property
    def status(self) -> RunStatus:
        """Status of the session: ``"waiting"`` while it has nothing to do, ``"completed"`` once closed."""
        return self.record.status

    def history(self) -> list[Turn[M, R]]:
        """Return all messages so far, in order, with the outcome of each."""
        return [self._turn(record) for record in self._host.reads.history(self.id)]

    def _turn(self, record: TurnRecord) -> Turn[M, R]:
        message: Any = self._definition.read_message(record.message_type, record.message)
        reply = self._definition.decode_result(record.reply) if record.status == "answered" else None
        return Turn(
            number=record.number,
            message=message,
            reply=reply,
            status=record.status,
            error=record.error,
            key=record.key,
            received_at=record.received_at,
            ended_at=record.ended_at,
            steps=shown(record.steps),
            evaluations=record.evaluations,
        )

    def transcript(self, step: str | None = None) -> "list[TranscriptMessage]":
        """Return the session's conversation with a model, oldest message first, over all of its turns.

        Args:
            step: Key of a model call of the newest turn that has one of this key, or of an agent; None for the newest
                call of all.

        Raises:
            RunNotFound: The session has not been opened.
            InvalidInput: There is no such call in a conversation.
        """
        return shown(self._host.reads.transcript(self.id, step))

    def stream(self, channel: str = "default", *, after: int | None = None, follow: bool = False) -> Items[StreamItem]:
        """Return the values that the session's turns and their steps have emitted on a channel, in order.

        Values of a handler are in the stream once its turn has ended well, or at once if emitted with ``now=True``.

        Args:
            channel: Name of the channel, as passed to ``emit``.
            after: Only items with offsets above this one, such as that of the last item seen; None for all.
            follow: Also return what is emitted later, until the session is closed or parked.

        Raises:
            RunNotFound: The session has not been opened. Raised by the first item.
        """
        check_channel(channel)
        from greenroom.workflows.queries.records.run_records import stream_items  # noqa: PLC0415  it imports the state of runs

        stored = self._host.follow(self.id, 0) if follow else stored_events(self._host.reads, self.id)
        return Items(
            map(shown, stream_items(stored, channel, after)),
            lambda: self.aio.stream(channel, after=after, follow=follow),
            "session.stream(follow=True)" if follow else None,
        )

    def cancel_turn(self, reason: str | None = None) -> bool:
        """Cancel the running turn. Returns once the request is committed, while the handler may still clean up.

        ``asyncio.CancelledError`` is raised where the handler awaits. Its running steps are ended. Whatever it does
        after that, the caller of ``ask`` gets ``TurnFailed`` with ``cancelled`` set, changes of the state are dropped,
        and the session goes on with the next message. The message does not become a dead letter, and ``on_failure``
        does not apply. A paused or parked session is resumed. Cancelling again only does that.

        Args:
            reason: Reason, which the caller of ``ask`` is told.

        Returns:
            True if a turn is being cancelled; False if none was running.

        Raises:
            RunNotFound: The session has not been opened.
        """
        reply = check(self._host.send(checked(CancelTurn, session=self.name, session_key=self.key, reason=reason)))
        assert isinstance(reply, Accepted)
        return reply.number > 0

    def close(self) -> None:
        """Close the session, after the waiting messages are answered. Returns once the request is committed.

        Raises:
            RunNotFound: The session has not been opened.
        """
        check(self._host.send(CloseSession(session=self.name, session_key=self.key)))


def question(
    definition: SessionDefinition, session_key: str, message: object, timeout: Seconds | None, key: str | None
) -> AskSession:
    """Return the command that asks a session.

    Raises:
        InvalidInput: The handler takes no such message.
        ValueError: The timeout is not above 0.
    """
    patience = limit(timeout, "the timeout of ask()")
    if patience is not None and patience <= 0:
        msg = f"timeout is a number of seconds above 0, not {timeout!r}"
        raise ValueError(msg)
    return checked(AskSession, **_fields(definition, session_key, message, key), timeout=patience)


def reply_of(definition: SessionDefinition, answer: Reply) -> Any:
    """Return the handler's reply, or raise the error of the turn; see ``Session.ask``."""
    answer = check(answer)
    assert isinstance(answer, TurnAnswered)
    if answer.failure is not None:
        msg = f"message {answer.number} to session {answer.run_id} failed: {answer.failure}"
        failed = TurnFailed(msg, session=answer.run_id, number=answer.number, step=answer.step)
        failed.cancelled = answer.raised is not None and answer.raised.outcome == "cancelled"
        raise failed if answer.raised is None else with_location(failed, answer.raised)
    return definition.decode_result(answer.reply)


def _fields(definition: SessionDefinition, session_key: str, message: object, key: str | None) -> dict[str, Any]:
    name, value = definition.write_message(message)
    return {
        "app": definition.app,
        "session": definition.name,
        "session_key": session_key,
        "name": name,
        "value": value,
        "key": key,
    }
