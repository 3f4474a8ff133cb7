"""The errors a user can meet, sorted by what to do next. Each message is one sentence that names the remedy."""

from typing import Any

from greenroom.messages.core import times


class GreenroomError(Exception):
    """Root of everything this package raises on purpose."""


# Raised by steps, to steer their own retries.


class Fatal(GreenroomError):  # noqa: N818  the contract's name: it reads as an order, not as a description
    """Raise it in a step to say that trying again is useless: the step fails at once."""


class RetryAfter(GreenroomError):  # noqa: N818  the contract's name
    """Raise it in a step to ask for another attempt no sooner than in ``seconds``."""

    def __init__(self, seconds: times.Seconds, message: str = "") -> None:
        """Ask for a pause of ``seconds`` before the next attempt; ``message`` says why."""
        self.seconds = times.seconds(seconds, "the pause that RetryAfter asks for")
        super().__init__(message or f"asked to be tried again in {self.seconds:g} s")


# Raised in a workflow, to be handled there.


class StepFailed(GreenroomError):  # noqa: N818  the contract's name
    """A step has no attempts left, or must not be tried again.

    Attributes:
        step: The step's key in its run.
        attempts: How many attempts were made.
        outcome: How the last attempt ended (see ``greenroom.messages.Outcome``).
        error: Name of the exception class the last attempt raised, or empty.
        cause: The exception that the last attempt raised: of its own class where this process has loaded that, else a
            ``RemoteError``. None where it raised none, as in a crash.
        fields: The attributes of that exception that are JSON and short.

    ``except Quota`` catches the failure of a step that raised one as well, wherever that class is loaded: then this is
    a ``Quota`` too, with its arguments and fields.
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
    """A ``once=True`` step was cut off by a crash: its effect may have happened or not, and it was not run again."""


class StepQuarantined(StepFailed):
    """A step took its worker down too often and was set aside."""


class StepRejected(StepFailed):
    """Evaluators refused every result of a step."""


# What stands for an exception of another process.


class RemoteError(GreenroomError):
    """An exception of another process whose class this process does not have.

    Attributes:
        kind: Name of its class.
        classes: The class and its bases as ``module.qualname``, most derived first.
        fields: Those of its attributes that are JSON and short.
    """

    def __init__(
        self, message: str, *, kind: str = "", classes: tuple[str, ...] = (), fields: dict[str, Any] | None = None
    ) -> None:
        """Keep the facts beside the text."""
        super().__init__(message)
        self.kind = kind
        self.classes = classes
        self.fields = fields or {}


class RemoteTraceback(GreenroomError):  # noqa: N818  what it is
    """The cause of what is raised for a failure of another process: printed, it is the traceback from there.

    Attributes:
        text: The traceback.
        place: The line of the user's that it leads to, ``/path/app.py:31``.
    """

    def __init__(self, text: str, place: str = "") -> None:
        """Keep a traceback."""
        super().__init__(text)
        self.text = text
        self.place = place

    def __str__(self) -> str:
        """Begin in a line of its own: Python puts the name of the class before it."""
        return f"\n{self.text}"


# Raised to those who start and await runs.


class RunFailed(GreenroomError):  # noqa: N818  the contract's name
    """A run ended in failure.

    Attributes:
        run_id: The run.
        step: Key of the step whose failure ended it, or None where the workflow's own code raised. Where it was a
            child's failure, the step of that child.
        attempts: That step's attempts, as records (see ``greenroom.messages.AttemptRecord``).
        cause: What the workflow raised: of its own class where this process has loaded that, else a ``RemoteError``.
        fields: Those of its attributes that are JSON and short.

    Its ``__cause__`` prints as the traceback of the workflow, with that of the step where one's failure ended it.
    """

    cause: "Exception | None" = None

    def __init__(self, message: str, *, run_id: str, step: str | None = None, attempts: Any = ()) -> None:
        """Keep the facts beside the sentence."""
        super().__init__(message)
        self.run_id = run_id
        self.step = step
        self.attempts = list(attempts)
        self.fields: dict[str, Any] = {}
        self.failure: Any = None
        """What the workflow raised, as a record (see ``greenroom.messages.Failure``); None where that is not known."""
        self.call = ""
        """In a workflow: key of its call of the child that failed."""


class RunCancelled(GreenroomError):  # noqa: N818  the contract's name
    """A run was cancelled before it ended by itself."""

    call = ""
    """In a workflow: key of its call of the child that was cancelled."""


class RunParked(GreenroomError):  # noqa: N818  reads like its siblings
    """A run stopped where a person must look; nothing is lost, and it can be resumed."""


class MailboxFull(GreenroomError):  # noqa: N818  the contract's name
    """The run has as many messages waiting as it may have; this one was not taken. Send it again later."""


class RunEnded(GreenroomError):  # noqa: N818  reads like its siblings
    """The run has come to its end and takes no messages."""


class RetryRefused(GreenroomError):  # noqa: N818  reads like its siblings
    """The run cannot be retried: it has not failed, or the step it would go on from may not run twice."""


class SessionClosed(RunEnded):
    """The session was closed: it has answered what it took, and takes nothing more."""


class TurnFailed(GreenroomError):  # noqa: N818  the field's name
    """A session's handler could not deal with a message, which is a dead letter now.

    Attributes:
        session: The session, ``name/key``.
        number: The message's number in the session.
        step: Key of the step whose failure came out of the handler, or None where its own code raised.
        cause: What the handler raised: of its own class where this process has loaded that, else a ``RemoteError``.
        fields: Those of its attributes that are JSON and short.

    Its ``__cause__`` prints as the handler's traceback.
    """

    cause: "Exception | None" = None

    def __init__(self, message: str, *, session: str = "", number: int = 0, step: str | None = None) -> None:
        """Keep the facts beside the sentence."""
        super().__init__(message)
        self.fields: dict[str, Any] = {}
        self.session = session
        self.number = number
        self.step = step


class RunNotFound(GreenroomError):  # noqa: N818  reads like its siblings
    """No run with this id is in the journal."""


class ApprovalNotFound(GreenroomError):  # noqa: N818  reads like its siblings
    """No run has asked for an approval of this id."""


class ApprovalClosed(GreenroomError):  # noqa: N818  reads like its siblings
    """The approval is not open: it has been decided otherwise, or nobody waits for it any more."""


class ScheduleNotFound(GreenroomError):  # noqa: N818  reads like its siblings
    """No schedule with this name is in the journal."""


class ScheduleBusy(GreenroomError):  # noqa: N818  reads like its siblings
    """A schedule starts no run at a person's wish now, because an earlier one goes on or too many wait."""


class WorkerNotFound(GreenroomError):  # noqa: N818  reads like its siblings
    """No worker with this id is alive."""


class IdConflict(GreenroomError):  # noqa: N818  reads like its siblings
    """A run with this id exists and was started with another workflow or other arguments."""


class InvalidInput(GreenroomError, ValueError):  # noqa: N818  reads like its siblings
    """Arguments do not fit a workflow's signature; every field at fault is named.

    Attributes:
        errors: One ``(field, sentence)`` pair per fault.
    """

    def __init__(self, message: str, errors: tuple[tuple[str, str], ...] = ()) -> None:
        """Keep the faults beside the sentence."""
        super().__init__(message)
        self.errors = errors


class DefinitionError(GreenroomError):
    """A workflow, step or app is defined in a way that cannot run; the message says which and how to mend it."""


class NotSerializable(GreenroomError, TypeError):  # noqa: N818  reads like its siblings
    """A value cannot be written as JSON, so it can be neither journaled nor sent to a process."""


# Raised where the orchestrator itself cannot go on.


class HomeInUse(GreenroomError):  # noqa: N818  reads like its siblings
    """Another orchestrator that is alive owns this journal or home."""


class OrchestratorUnreachable(GreenroomError):  # noqa: N818  reads like its siblings
    """A command needs a running orchestrator and none answers."""


class OrchestratorClosed(GreenroomError):  # noqa: N818  reads like its siblings
    """The orchestrator was closed, or stopped itself because its journal failed."""


class CannotServe(GreenroomError):  # noqa: N818  reads like its siblings
    """HTTP cannot be served as asked for: the address is taken, or it is not safe there."""


class NotAuthorized(GreenroomError):  # noqa: N818  reads like its siblings
    """An orchestrator was reached over HTTP and did not accept the token."""


class WorkersUnavailable(GreenroomError):  # noqa: N818  reads like its siblings
    """A pool gave up restarting its workers; the message says how the last one ended."""


class JournalError(GreenroomError):
    """The journal cannot be read or written; nothing is acknowledged after this."""


class JournalCorrupt(JournalError):  # noqa: N818  reads like its siblings
    """What the journal holds is not what was written."""


class JournalTooNew(JournalError):  # noqa: N818  reads like its siblings
    """The journal was written by a newer version of this package."""


class JournalFull(JournalError):  # noqa: N818  reads like its siblings
    """The disk is full or read-only; what was acknowledged is safe."""


class SequenceConflict(JournalError):  # noqa: N818  reads like its siblings
    """Another owner has appended to this run: this one must stop."""


class EventUnwritable(JournalError):  # noqa: N818  reads like its siblings
    """An append holds what cannot be written as JSON: nothing of that append was written, and the journal goes on."""


class CodecError(GreenroomError, ValueError):
    """Bytes are no message of ours: truncated, oversize, of another version, or of no known type."""


class FrameTooLarge(CodecError):  # noqa: N818  reads like its siblings
    """A message is longer than the size limit."""


class FrameTruncated(CodecError):  # noqa: N818  reads like its siblings
    """The bytes end in the middle of a message."""


class UnknownVersion(CodecError):  # noqa: N818  reads like its siblings
    """A message was written by a version of the schema that this one does not read."""


class UnknownMessage(CodecError):  # noqa: N818  reads like its siblings
    """A message is of no known type, or does not fit the type it names."""
