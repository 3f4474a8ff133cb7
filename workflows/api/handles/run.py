"""The handle on a run that its starter holds."""

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

from greenroom.actors.api.emit import check_channel
from greenroom.actors.failures.tracebacks import outside
from greenroom.actors.values.conversion import Form
from greenroom.journal.event_pages import stored_events
from greenroom.journal.interface import Stored
from greenroom.messages.commands import (
    Accepted,
    CancelRun,
    Command,
    ForkRun,
    PauseRun,
    Refused,
    Reply,
    ResumeRun,
    RetryRun,
    SignalRun,
)
from greenroom.messages.core.errors import (
    GreenroomError,
    IdConflict,
    InvalidInput,
    MailboxFull,
    NotSerializable,
    OrchestratorClosed,
    RetryRefused,
    RunEnded,
    RunNotFound,
    RunParked,
    ScheduleBusy,
    SessionClosed,
)
from greenroom.messages.core.json_text import shown
from greenroom.messages.core.message import Json
from greenroom.messages.core.times import Seconds, limit
from greenroom.messages.policy import Budget
from greenroom.messages.records import LogLine, RunStatus, StepRecord, StreamItem
from greenroom.workflows.api.handles.items import Items
from greenroom.workflows.api.threads import Threads, warn_on_loop
from greenroom.workflows.api.waiting import follow_logs
from greenroom.workflows.queries.interface import Queries
from greenroom.workflows.queries.records import stream_items

if TYPE_CHECKING:
    from greenroom.messages.records import ApprovalRecord, RunRecord
    from greenroom.workflows.api.handles.async_run import AsyncRun

R = TypeVar("R")


class RunHost(Protocol):
    """What a handle needs of the orchestrator it came from. Any thread."""

    @property
    def reads(self) -> Queries:
        """Looks at runs."""
        ...

    def send(self, command: Command) -> Reply:
        """Carry out a command."""
        ...

    def wait_result(self, run_id: str, timeout: float | None) -> Json:
        """Block until a run has ended or is parked, and give its result or raise what stands in its place."""
        ...

    async def until_result(self, run_id: str) -> Json:
        """Wait for the same without holding the caller's loop."""
        ...

    def follow(self, run_id: str, after: int) -> Iterator[Stored]:
        """Give the events above ``after`` as they are committed, until the run has ended or is parked."""
        ...

    def until_followed(self, run_id: str, after: int) -> AsyncIterator[Stored]:
        """Give the same without holding the caller's loop."""
        ...

    @property
    def threads(self) -> Threads:
        """Where short calls are made for event loops."""
        ...


class Run(Generic[R]):
    """One run of a workflow. May be used from any thread; ``await run`` gives its result in asynchronous code.

    Everything it shows is committed: it stays true whatever dies next.
    """

    def __init__(
        self, host: RunHost, run_id: str, decode: Callable[[Json], R], decode_state: Callable[[Json], Any]
    ) -> None:
        """Made by the orchestrator."""
        self.id = run_id
        self._host = host
        self._decode = decode
        self._decode_state = decode_state

    def __repr__(self) -> str:
        """Say where the run stands."""
        try:
            return f"<Run {self.id}: {self.status}>"
        except GreenroomError as error:  # a closed or broken journal must not break who only wants to print it
            return f"<Run {self.id}: {error}>"

    @property
    def host(self) -> RunHost:
        """The orchestrator that it came from, or what stands for it."""
        return self._host

    @property
    def record(self) -> "RunRecord":
        """The run's line in the index."""
        return self._host.reads.run(self.id)

    @property
    def status(self) -> RunStatus:
        """Where the run stands."""
        return self.record.status

    @property
    def state(self) -> Any:
        """The shared state as of the newest committed step: a model where the workflow declares one, else None."""
        return self._decode_state(self._host.reads.state(self.id))

    @property
    def usage(self) -> dict[str, float]:
        """What all model calls of the run used, summed over all attempts."""
        total: dict[str, float] = {}
        for step in self.steps():
            for attempt in step.attempts:
                for name, amount in attempt.usage.items():
                    total[name] = total.get(name, 0.0) + amount
        return total

    def steps(self) -> list[StepRecord]:
        """Give the steps with their attempts, in the order in which they were asked for."""
        return shown(self._host.reads.steps(self.id))

    def result(self, timeout: Seconds | None = None) -> R:
        """Wait for the end and give the result.

        Args:
            timeout: Seconds to wait at most, None or ``math.inf`` without a limit. The run goes on when they are over.

        Raises:
            RunFailed: The run failed; ``step`` and ``attempts`` say at what.
            RunCancelled: The run was cancelled.
            RunParked: The run waits for a person; the message says why.
            TimeoutError: It has not ended in time.
            OrchestratorClosed: The orchestrator was closed before it ended.
        """
        warn_on_loop("run.result()", "await run")
        __tracebackhide__ = True  # pytest's: its reports begin with the caller's line
        patience = limit(timeout, "the timeout of result()")
        try:
            result = self._host.wait_result(self.id, patience)
        except GreenroomError as error:
            raise outside(error)  # noqa: B904  the same error
        return self._decode(result)

    def __await__(self) -> Generator[Any, None, R]:
        """Wait for the end without holding the caller's loop; see ``result``."""
        return self._wait().__await__()

    async def _wait(self) -> R:
        __tracebackhide__ = True
        try:
            result = await self._host.until_result(self.id)
        except GreenroomError as error:
            raise outside(error)  # noqa: B904  the same error
        return self._decode(result)

    @property
    def aio(self) -> "AsyncRun[R]":
        """Its twin for asynchronous code: everything that blocks here is awaited there."""
        from greenroom.workflows.api.handles.async_run import AsyncRun  # noqa: PLC0415  for asyncio alone

        return AsyncRun(self)

    def events(self, after: int = 0, *, follow: bool = False) -> Items[Stored]:
        """Give the events with sequence numbers above ``after``; with ``follow``, go on until the run has ended."""
        host = self._host
        stored = host.follow(self.id, after) if follow else stored_events(host.reads, self.id, after)
        waits = "run.events(follow=True)" if follow else None
        return Items(map(shown_event, stored), lambda: self.aio.events(after, follow=follow), waits)

    def stream(self, channel: str = "default", *, after: int | None = None, follow: bool = False) -> Items[StreamItem]:
        """Give the values that the workflow has emitted on a channel, in their order.

        Args:
            channel: The channel, as the workflow names it to ``emit``.
            after: Only values of higher offsets, such as the last one seen; None for all.
            follow: Go on with what is emitted later, until the run has ended.
        """
        check_channel(channel)
        stored = self._host.follow(self.id, 0) if follow else stored_events(self._host.reads, self.id)
        return Items(
            map(shown, stream_items(stored, channel, after)),
            lambda: self.aio.stream(channel, after=after, follow=follow),
            "run.stream(follow=True)" if follow else None,
        )

    def logs(self, step: str | None = None, *, after: int = 0, follow: bool = False) -> Iterator[LogLine]:
        """Give the lines that the run's code has written to stdout and stderr: by ``print``, ``logging`` or otherwise.

        Of an attempt at most 1 MiB is kept, its first lines and its last ones, and of a run the last 16 MiB. What a
        workflow printed is not printed again when it is replayed, but for what came after the last outcome that was
        recorded before its process died. Children are runs of their own.

        Args:
            step: Only lines of a step: its key, or its name for every call of it.
            after: Only lines behind this offset, such as that of the last line seen.
            follow: Go on with what is written later, until the run has ended.

        Raises:
            RunNotFound: There is no such run.
        """
        if follow:
            return follow_logs(self._host.reads, self.id, after, step)
        return iter(self._host.reads.logs(self.id, after, step=step))

    def approvals(self) -> "list[ApprovalRecord]":
        """Give what the run and its children ask a person, the oldest first; ``Orchestrator.decide`` answers."""
        return shown(self._host.reads.approvals(self.id))

    def cancel(self, reason: str | None = None, *, within: Seconds | None = None) -> None:
        """Ask the run to end early; returns once that is on the disk. A run that has ended stays as it is.

        The workflow sees ``asyncio.CancelledError`` where it awaits, and may clean up by steps, waits and messages like
        any other code, for as long as that takes: across restarts of the orchestrator, and whatever its budget says. A
        paused or parked run goes on for it. Children are cancelled in the same way, and awaited. A run that was not
        begun ends at once. Cancelling again changes nothing, but lets a run go on that was paused or parked meanwhile.

        Args:
            reason: Why; it is kept with the run.
            within: Seconds from now, above or equal to 0, after which the run and its children are ended without the
                rest of their cleanup; None or ``math.inf`` without limit. Of several limits the earliest counts.

        Raises:
            ValueError: ``within`` is no such number.
        """
        time = limit(within, "within")
        if (within.total_seconds() if isinstance(within, timedelta) else within or 0) < 0:
            msg = f"within is a number of seconds from 0 on, not {within!r}"
            raise ValueError(msg)
        command = CancelRun(run_id=self.id, reason=reason, within=time)
        check(self._host.send(command))

    def signal(self, message: BaseModel, key: str | None = None) -> None:
        """Send the run a message, which its workflow takes with ``receive``; returns once that is on the disk.

        Args:
            message: A pydantic model; its type's name is what the workflow asks for.
            key: A message with the key of an earlier one is that message, and not sent again.

        Raises:
            RunEnded: The run has ended.
            MailboxFull: Too many messages wait.
            TypeError: It is no pydantic model.
        """
        _check_message(message)
        name, value = type(message).__name__, Form(type(message), "the message").dump(message)
        check(self._host.send(SignalRun(run_id=self.id, name=name, value=value, key=key)))

    def pause(self, reason: str | None = None) -> None:
        """Have the run and its children stop where they are; returns once that is on the disk.

        Attempts that run may end, and their results are kept. Nothing new begins before ``resume``: no step, no retry,
        no timer that comes due. A run that has ended, or is parked, stays as it is.
        """
        check(self._host.send(PauseRun(run_id=self.id, reason=reason)))

    def retry(self) -> None:
        """Let a run that failed or was cancelled go on from the step that failed; returns once that is on the disk.

        What was asked for before that failure was recorded stays, with every result. The step has all of its attempts
        again, and so has every other one that failed since. What followed from the failure is forgotten and, where the
        workflow comes to ask for it again, done again: compensation, for instance. Values emitted meanwhile stay in
        their streams. Where no step failed, but the workflow's own code, that is run again on everything recorded; a
        cancelled run goes on from where it was told to end. Children that failed or were given up go on with their
        parent. A parent that has heard of a child's failure does not hear of what the child's own retry leads to.

        Raises:
            RetryRefused: The run has not ended, or has completed, or the step is marked ``once=True``.
        """
        check(self._host.send(RetryRun(run_id=self.id)))

    def fork(self, at: str | None = None, input: Any = None, result: Any = None, *, id: str | None = None) -> "Run[R]":  # noqa: A002
        """Start a run that shares this one's past up to a step, and goes another way from there.

        What was asked for before that step's outcome was recorded is shared, with every result: steps, waits, values
        emitted, messages that had come by then, and the results of children. Everything else the new run does by
        itself, under its own id and so with its own idempotency keys. This run stays as it is, and may be going on.

        Args:
            at: Key of a step or child; None forks from the start and shares nothing.
            input: Other arguments for that step: by name in a mapping, in order in a list, or the only one. With no
                ``at``, those of the workflow, by name.
            result: What the step is taken to have given, so that it is not run. Without either it is run anew.
            id: Of the new run; None makes one from this one's.

        Raises:
            InvalidInput: There is no such step, or the input does not fit the workflow, or both are given.
            IdConflict: A run of this id exists.
            NotSerializable: The input or the result cannot be written as JSON.
        """
        command = ForkRun(run_id=self.id, at=at, input=_as_json(input), result=_as_json(result), id=id)
        reply = check(self._host.send(command))
        assert isinstance(reply, Accepted)
        return Run(self._host, reply.run_id, self._decode, self._decode_state)

    def resume(self, budget: Budget | None = None) -> None:
        """Let a paused or parked run go on; returns once that is on the disk.

        Args:
            budget: What it names takes the place of the same in the run's budget. These are new totals: what was used
                up stays so. The run may be going on.
        """
        check(self._host.send(ResumeRun(run_id=self.id, budget=budget)))


def _check_message(message: object) -> None:
    """Refuse what has no type to be asked for by: callers need not be typed."""
    if not isinstance(message, BaseModel):
        msg = f"a message is a pydantic model, not {message!r}"
        raise TypeError(msg)


REFUSED_AS: Final[dict[str, type[Exception]]] = {
    "invalid": InvalidInput,
    "not_found": RunNotFound,
    "conflict": IdConflict,
    "closed": OrchestratorClosed,
    "full": MailboxFull,
    "ended": RunEnded,
    "not_failed": RetryRefused,
    "session_closed": SessionClosed,
    "parked": RunParked,
    "timeout": TimeoutError,
    "busy": ScheduleBusy,
}
"""What each code of a refusal is raised as; any other is an ``GreenroomError``."""


def shown_event(stored: Stored) -> Stored:
    """Give an event with its values read, as those expect it who look at it."""
    return Stored(stored.seq, shown(stored.event))


def _as_json(value: object) -> Json:
    """Write a value as JSON whose type no annotation tells.

    Raises:
        NotSerializable: That cannot be done.
    """
    try:
        json: Json = to_jsonable_python(value)
    except PydanticSerializationError as error:
        msg = f"{value!r:.200} cannot be written as JSON: {error}"
        raise NotSerializable(msg) from error
    return json


def check(reply: Reply) -> Reply:
    """Pass a reply on, or raise what it refuses with."""
    if not isinstance(reply, Refused):
        return reply
    if reply.code == "invalid":
        raise InvalidInput(reply.message, tuple((fault.field, fault.sentence) for fault in reply.faults))
    raise REFUSED_AS.get(reply.code, GreenroomError)(reply.message)
