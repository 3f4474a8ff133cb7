"""Exceptions that users can meet, ordered by what to do next. Each message is one sentence that names the remedy."""

from typing import Any

from greenroom.messages.core import times


class GreenroomError(Exception):
    """Base class of all exceptions that this package raises."""


# Raised by steps, to control their own retries.


class Fatal(GreenroomError):  # noqa: N818  a public name: it reads as an instruction, not as a description
    """Raise this in a step if another attempt is useless. The step fails at once."""


class RetryAfter(GreenroomError):  # noqa: N818  the contract's name
    """Raise this in a step to request another attempt after at least ``seconds``."""

    def __init__(self, seconds: times.Seconds, message: str = "") -> None:
        """Request a pause of ``seconds`` before the next attempt; ``message`` is the reason."""
        self.seconds = times.seconds(seconds, "the pause that RetryAfter asks for")
        super().__init__(message or f"asked to be tried again in {self.seconds:g} s")


# Raised by models. In a workflow, the failure of an ``LLM`` is one of these too.


class ModelFailed(GreenroomError):  # noqa: N818  reads like its siblings
    """A request to a model failed in a way in which another attempt may succeed.

    Attributes:
        status: HTTP status of the answer; None if there was none.
        sent: Whether the request may have reached the provider, so that it may cost something.
    """

    def __init__(self, message: str, *, status: int | None = None, sent: bool = True) -> None:
        """Keep the facts beside the sentence."""
        super().__init__(message)
        self.status = status
        self.sent = sent


class QuotaExceeded(Fatal):
    """The account at a model's provider has no credit or quota left.

    Attempts fail until a person changes that. So a run whose step raises it is parked, and the step is tried again once
    the run is resumed.
    """


class ContextTooLong(Fatal):
    """A conversation is longer than the model can read. Shorten it, or use a model that reads more.

    An agent raises it only after it has tried to make the conversation shorter.
    """


# Raised in a workflow, which may handle them.


class StepFailed(GreenroomError):  # noqa: N818  the contract's name
    """A step has no attempts left, or must not be attempted again.

    Attributes:
        step: The step's key in its run.
        attempts: Number of attempts made.
        outcome: How the last attempt ended (see ``greenroom.messages.Outcome``).
    """

    cause: "Exception | None" = None

    def __init__(
        self, message: str, *, step: str = "", attempts: int = 0, outcome: str = "error", error: str = ""
    ) -> None:
        """Keep the facts beside the sentence."""
        super().__init__(message)
        self.step = step
        self.attempts = attempts
        self.outcome = outcome
        self.error = error
        self.fields: dict[str, Any] = {}


class OutcomeUnknown(StepFailed):
    """A ``once=True`` step was interrupted by a crash. Its effect may have happened, and it was not run again."""


class StepQuarantined(StepFailed):
    """A step crashed its worker too often and is not run again."""


class StepRejected(StepFailed):
    """Evaluators rejected every result of a step."""


class EvaluatorFailure(StepFailed):
    """An evaluator that a workflow awaited gave no score, which is neither a pass nor a fail."""


class AgentFailed(GreenroomError):  # noqa: N818  reads like its siblings
    """An agent has not reached an answer, although its models and tools worked.

    Attributes:
        agent: Name of the agent.
        reason: ``"turns"`` if it used up ``max_turns``, ``"loop"`` if it went round in circles.
    """

    def __init__(self, message: str, *, agent: str = "", reason: str = "") -> None:
        """Keep the facts beside the sentence."""
        super().__init__(message)
        self.agent = agent
        self.reason = reason


# Stands for an exception of another process.


class RemoteError(GreenroomError):
    """An exception of another process whose class this process does not have.

    Attributes:
        kind: Name of its class.
        classes: The class and its bases as ``module.qualname``, most derived first.
        fields: Its attributes, as far as they are JSON and short.
    """

    def __init__(
        self, message: str, *, kind: str = "", classes: tuple[str, ...] = (), fields: dict[str, Any] | None = None
    ) -> None:
        """Store the facts with the text."""
        super().__init__(message)
        self.kind = kind
        self.classes = classes
        self.fields = fields or {}


class RemoteTraceback(GreenroomError):  # noqa: N818  what it is
    """The cause of an exception raised for a failure in another process. It prints as that process's traceback.

    Attributes:
        text: The traceback.
        place: The user's line in which it ends, ``/path/app.py:31``.
    """

    def __init__(self, text: str, place: str = "") -> None:
        """Store a traceback."""
        super().__init__(text)
        self.text = text
        self.place = place

    def __str__(self) -> str:
        """Begin on a new line, because Python prints the name of the class first."""
        return f"\n{self.text}"


# Raised to callers that start and await runs.


class RunFailed(GreenroomError):  # noqa: N818  the contract's name
    """A run ended in failure.

    Attributes:
        run_id: Id of the run.
        step: Key of the step whose failure ended the run; None if the workflow's own code raised. For a child's
            failure, the step of that child.
        attempts: That step's attempts, as records (see ``greenroom.messages.records.attempts.AttemptRecord``).
        cause: The exception that the workflow raised: of its own class if this process has loaded it, otherwise a
            ``RemoteError``.
        fields: The exception's attributes, as far as they are JSON and short.

    Its ``__cause__`` prints as the traceback of the workflow, with that of the failed step if there is one.
    """

    cause: "Exception | None" = None

    def __init__(self, message: str, *, run_id: str, step: str | None = None, attempts: Any = ()) -> None:
        """Store the facts with the message."""
        super().__init__(message)
        self.run_id = run_id
        self.step = step
        self.attempts = list(attempts)
        self.fields: dict[str, Any] = {}
        self.failure: Any = None
        """The workflow's exception as a record (see ``greenroom.messages.Failure``); None if unknown."""
        self.call = ""
        """In a workflow: key of the call of the child that failed."""


class RunCancelled(GreenroomError):  # noqa: N818  the contract's name
    """A run was cancelled before it ended on its own."""

    call = ""
    """In a workflow: key of the call of the child that was cancelled."""


class RunParked(GreenroomError):  # noqa: N818  reads like its siblings
    """A run stopped until a person looks at it. Nothing is lost, and it can be resumed."""


class BudgetUsedUp(GreenroomError):  # noqa: N818  reads like its siblings
    """A budget allows no more calls of models. What has asked for one goes on without it."""


class MailboxFull(GreenroomError):  # noqa: N818  the contract's name
    """The run's mailbox is full and the message was not accepted. Send it again later."""


class RunEnded(GreenroomError):  # noqa: N818  reads like its siblings
    """The run has ended and accepts no messages."""


class RetryRefused(GreenroomError):  # noqa: N818  reads like its siblings
    """The run cannot be retried: it has not failed, or the step to retry must not run twice."""


class SessionClosed(RunEnded):
    """The session was closed. It has answered the messages it had accepted, and accepts no more."""


class TurnFailed(GreenroomError):  # noqa: N818  the field's name
    """A session's handler failed on a message, which is now a dead letter; or its turn was cancelled.

    Attributes:
        session: The session, ``name/key``.
        number: The message's number in the session.
        step: Key of the step whose failure the handler raised; None if its own code raised.
        cause: The exception that the handler raised: of its own class if this process has loaded it, otherwise a
            ``RemoteError``.
        fields: The exception's attributes, as far as they are JSON and short.
        cancelled: Whether the turn was cancelled (``Session.cancel_turn``). The message is then no dead letter.

    Its ``__cause__`` prints as the handler's traceback.
    """

    cause: "Exception | None" = None

    def __init__(self, message: str, *, session: str = "", number: int = 0, step: str | None = None) -> None:
        """Store the facts with the message."""
        super().__init__(message)
        self.fields: dict[str, Any] = {}
        self.cancelled = False
        self.session = session
        self.number = number
        self.step = step


class RunNotFound(GreenroomError):  # noqa: N818  reads like its siblings
    """The journal has no run with this id, or no session ``NAME/KEY``."""


def none_such(run_id: str) -> str:
    """Return the sentence that there is no such run, or no such session: those alone have a slash in their ids."""
    if "/" in run_id:
        return f"there is no session {run_id!r}: its first message opens it"
    return f"there is no run {run_id!r}"


class ApprovalNotFound(GreenroomError):  # noqa: N818  reads like its siblings
    """No run has asked for an approval with this id."""


class ApprovalClosed(GreenroomError):  # noqa: N818  reads like its siblings
    """The approval is not open: it was decided differently, or the run no longer waits for it."""


class ScheduleNotFound(GreenroomError):  # noqa: N818  reads like its siblings
    """The journal has no schedule with this name."""


class ScheduleBusy(GreenroomError):  # noqa: N818  reads like its siblings
    """A schedule cannot start a run on request now, because an earlier run goes on or too many wait."""


class WorkerNotFound(GreenroomError):  # noqa: N818  reads like its siblings
    """There is no live worker with this id."""


class IdConflict(GreenroomError):  # noqa: N818  reads like its siblings
    """A run with this id was already started, with another workflow or other arguments."""


class InvalidInput(GreenroomError, ValueError):  # noqa: N818  reads like its siblings
    """Arguments do not fit a workflow's signature; every wrong field is named.

    Attributes:
        errors: One ``(field, sentence)`` pair per fault.
    """

    def __init__(self, message: str, errors: tuple[tuple[str, str], ...] = ()) -> None:
        """Store the faults with the message."""
        super().__init__(message)
        self.errors = errors


class DefinitionError(GreenroomError):
    """A definition of a workflow, step or app cannot run. The message says which, and how to correct it."""


class NotSerializable(GreenroomError, TypeError):  # noqa: N818  reads like its siblings
    """A value cannot be written as JSON, so it can be neither journaled nor sent to a process.

    Attributes:
        place: Where the function stands whose result it is, ``/path/app.py:31``. No line of the function runs when its
            result is written. Empty for other values.
    """

    place: str = ""


# Raised if the orchestrator itself cannot continue.


class HomeInUse(GreenroomError):  # noqa: N818  reads like its siblings
    """Another running orchestrator owns this journal or home."""


class OrchestratorUnreachable(GreenroomError):  # noqa: N818  reads like its siblings
    """A command needs a running orchestrator, and none answers."""


class OrchestratorClosed(GreenroomError):  # noqa: N818  reads like its siblings
    """The orchestrator was closed, or stopped because its journal failed."""


class CannotServe(GreenroomError):  # noqa: N818  reads like its siblings
    """HTTP cannot be served as requested: the address is in use, or serving there is not safe."""


class NotAuthorized(GreenroomError):  # noqa: N818  reads like its siblings
    """An orchestrator reached over HTTP did not accept the token."""


class WorkersUnavailable(GreenroomError):  # noqa: N818  reads like its siblings
    """A pool stopped restarting its workers. The message says how the last one ended."""


class JournalError(GreenroomError):
    """The journal cannot be read or written. Nothing is acknowledged after this."""


class JournalCorrupt(JournalError):  # noqa: N818  reads like its siblings
    """The journal's content is not what was written."""


class JournalTooNew(JournalError):  # noqa: N818  reads like its siblings
    """The journal was written by a newer version of this package."""


class JournalFull(JournalError):  # noqa: N818  reads like its siblings
    """The disk is full or read-only. Everything acknowledged is safe."""


class SequenceConflict(JournalError):  # noqa: N818  reads like its siblings
    """Another owner has appended to this run, so this owner must stop."""


class EventUnwritable(JournalError):  # noqa: N818  reads like its siblings
    """An append contains something that cannot be written as JSON. None of it was written; the journal continues."""


class CodecError(GreenroomError, ValueError):
    """Bytes are not a valid message: truncated, too large, of another version, or of no known type."""


class FrameTooLarge(CodecError):  # noqa: N818  reads like its siblings
    """A message is larger than the limit."""


class FrameTruncated(CodecError):  # noqa: N818  reads like its siblings
    """The bytes end inside a message."""


class UnknownVersion(CodecError):  # noqa: N818  reads like its siblings
    """A message has a schema version that this code cannot read."""


class UnknownMessage(CodecError):  # noqa: N818  reads like its siblings
    """A message has no known type, or does not fit the type that it names."""
