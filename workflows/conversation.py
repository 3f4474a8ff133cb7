"""The handle on a session that those who talk to it hold."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from understudy.actors.rebuilding import pointed
from understudy.actors.sessions import SessionDefinition
from understudy.messages.commands import AskSession, CloseSession, Command, Reply, TellSession, TurnAnswered
from understudy.messages.errors import TurnFailed
from understudy.messages.json_text import shown
from understudy.messages.policy import SessionPolicy
from understudy.messages.records import RunStatus, SessionRecord, StepRecord, TurnRecord
from understudy.messages.times import limit
from understudy.workflows.handle import check
from understudy.workflows.looks import Looks

S = TypeVar("S", bound=BaseModel)
M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")


class SessionHost(Protocol):
    """What a handle needs of the orchestrator it came from, or of its client. Any thread."""

    @property
    def reads(self) -> Looks:
        """Looks at sessions."""
        ...

    def send(self, command: Command) -> Reply:
        """Carry out a command."""
        ...

    def post(self, command: TellSession, policy: SessionPolicy) -> Reply:
        """Bring a message that is known to fit."""
        ...


@dataclass(frozen=True, slots=True)
class Turn(Generic[M, R]):
    """One message to a session, and what came of it. Times are ISO 8601 in UTC."""

    number: int
    message: M
    reply: R | None
    """None until there is one."""
    status: str
    """``"waiting"``, ``"running"``, ``"answered"`` or ``"failed"``."""
    error: str | None
    key: str | None
    received_at: str
    ended_at: str | None
    steps: tuple[StepRecord, ...]


class Session(Generic[S, M, R]):
    """One session of a handler. May be used from any thread.

    It need not have been opened: its first message does that. Everything it shows is committed.
    """

    def __init__(self, host: SessionHost, definition: SessionDefinition, key: str) -> None:
        """Made by the orchestrator."""
        self.name = definition.name
        self.key = key
        self.id = f"{definition.name}/{key}"
        self._host = host
        self._definition = definition

    def __repr__(self) -> str:
        """Say which one it is."""
        return f"<Session {self.id}>"

    def ask(self, message: M, timeout: float | timedelta | None = None, key: str | None = None) -> R:
        """Send a message and wait for the reply.

        Args:
            message: One of the models that the handler takes.
            timeout: Seconds to wait at most. The message stays when they are over, and is answered in its turn.
            key: A message with the key of an earlier one is that message, and its reply the same. Give one to ask again
                after anything between you and the session has failed.

        Raises:
            TurnFailed: The handler could not deal with the message, which is a dead letter now.
            InvalidInput: The handler takes no such message.
            MailboxFull: Too many messages wait.
            SessionClosed: The session was closed.
            RunParked: The session waits for a person; the message waits there.
            TimeoutError: There was no reply in time.
        """
        patience = limit(timeout, "the timeout of ask()")
        if patience is not None and patience <= 0:
            msg = f"timeout is a number of seconds above 0, not {timeout!r}"
            raise ValueError(msg)
        fields = self._fields(message, key)
        __tracebackhide__ = True  # pytest's: its reports begin with the caller's line
        answer = check(self._host.post(AskSession(**fields, timeout=patience), self._definition.policy))
        assert isinstance(answer, TurnAnswered)
        if answer.failure is not None:
            msg = f"message {answer.number} to session {self.id} failed: {answer.failure}"
            failed = TurnFailed(msg, session=self.id, number=answer.number, step=answer.step)
            raise failed if answer.raised is None else pointed(failed, answer.raised)
        reply: R = self._definition.decode_result(answer.reply)
        return reply

    def tell(self, message: M, key: str | None = None) -> None:
        """Send a message; returns once it is on the disk, from where nothing but an answer takes it.

        Args:
            message: One of the models that the handler takes.
            key: A message with the key of an earlier one is that message, and not sent again.

        Raises:
            InvalidInput: The handler takes no such message.
            MailboxFull: Too many messages wait.
            SessionClosed: The session was closed.
        """
        check(self._host.post(TellSession(**self._fields(message, key)), self._definition.policy))

    def _fields(self, message: M, key: str | None) -> dict[str, Any]:
        name, value = self._definition.write_message(message)
        return {
            "app": self._definition.app,
            "session": self.name,
            "session_key": self.key,
            "name": name,
            "value": value,
            "key": key,
        }

    @property
    def state(self) -> S:
        """The state as of the newest turn that has ended; the one it begins with where none has."""
        json = self._host.reads.session_state(self.id)
        state: Any = self._definition.read_state(json)
        return state  # type: ignore[no-any-return]

    @property
    def record(self) -> SessionRecord:
        """The session's line in the index.

        Raises:
            RunNotFound: It has not been opened yet.
        """
        return self._host.reads.session(self.id)

    @property
    def status(self) -> RunStatus:
        """Where the session stands: ``"waiting"`` while it has nothing to do, ``"completed"`` once closed."""
        return self.record.status

    def history(self) -> list[Turn[M, R]]:
        """Give all messages so far, in order, with what came of each."""
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
        )

    def close(self) -> None:
        """Take nothing more; what waits is answered first. Returns once that is on the disk.

        Raises:
            RunNotFound: The session has not been opened.
        """
        check(self._host.send(CloseSession(session=self.name, session_key=self.key)))
