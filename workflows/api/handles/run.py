"""The handle of a run."""

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

from greenroom.actors.api.emit import check_channel
from greenroom.actors.failures.tracebacks import outside
from greenroom.actors.values.conversion import ValueConverter
from greenroom.journal.event_pages import stored_events
from greenroom.journal.interface import Stored
from greenroom.messages.commands import (
    Accepted,
    CancelRun,
    Command,
    ForkRun,
    PauseRun,
    Reply,
    ResumeRun,
    RetryRun,
    SignalRun,
)
from greenroom.messages.core.errors import (
    GreenroomError,
    NotSerializable,
)
from greenroom.messages.core.json_text import shown
from greenroom.messages.core.message import Json
from greenroom.messages.core.other_names import OtherNames
from greenroom.messages.core.times import Seconds, limit
from greenroom.messages.options.policy import Budget
from greenroom.messages.records.records import LogLine, RunStatus, StepRecord, StreamItem, usage_of
from greenroom.messages.refusals import check, checked
from greenroom.workflows.api.handles.items import Items
from greenroom.workflows.api.threads import Threads, warn_on_loop
from greenroom.workflows.api.waiting import follow_logs
from greenroom.workflows.queries.interface import Queries

if TYPE_CHECKING:
    from greenroom.messages.records.records import ApprovalRecord, RunRecord
    from greenroom.messages.transcript import TranscriptMessage
    from greenroom.workflows.api.handles.async_run import AsyncRun
    from greenroom.workflows.api.handles.twins import Twins

R = TypeVar("R")


class RunHost(Protocol):
    """What a handle needs of the orchestrator it came from. Thread-safe."""

    @property
    def reads(self) -> Queries:
        """Reads of runs."""
        ...

    def send(self, command: Command) -> Reply:
        """Execute a command."""
        ...

    def wait_result(self, run_id: str, timeout: float | None) -> Json:
        """Block until a run has ended or is parked, and return its result or raise its error."""
        ...

    async def until_result(self, run_id: str, timeout: float | None) -> Json:  # noqa: ASYNC109  like wait_result
        """Await the same result."""
        ...

    def follow(self, run_id: str, after: int) -> Iterator[Stored]:
        """Yield the events above ``after`` as they are committed, until the run has ended or is parked."""
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


class Run(OtherNames, Generic[R]):
    """One run of a workflow. Thread-safe. ``await run`` returns its result in asynchronous code.

    Everything it returns is committed.
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
        """Name the run and its status."""
        try:
            return f"<Run {self.id}: {self.status}>"
        except GreenroomError as error:  # printing it must not raise
            return f"<Run {self.id}: {error}>"

    @property
    def host(self) -> RunHost:
        """The orchestrator or client that it came from."""
        return self._host

    @property
    def record(self) -> "RunRecord":
        """The run's entry in the index."""
        return self._host.reads.run(self.id)

    @property
    def status(self) -> RunStatus:
        """Status of the run."""
        return self.record.status

    @property
    def state(self) -> Any:
        """The shared state as of the newest committed step: a model if the workflow declares one, else None."""
        return self._decode_state(self._host.reads.state(self.id))

    @property
    def usage(self) -> dict[str, float]:
        """Usage of all model calls of the run, summed over all attempts, those of judges included.

        Child runs have their own usage, although they draw on the budgets of their parents.

        ``input_tokens``, ``output_tokens`` and ``usd``; and ``unpriced``, the number of calls whose price is not known,
        if there are any. Those are not a part of ``usd``.
        """
        return usage_of(self.steps(), self.record.evaluations)

    def steps(self) -> list[StepRecord]:
        """Return the steps with their attempts, in the order in which they were scheduled."""
        return shown(self._host.reads.steps(self.id))

    def transcript(self, step: str | None = None) -> "list[TranscriptMessage]":
        """Return a conversation of an agent with its model, oldest message first.

        Args:
            step: Key of the model call up to which it is returned, answer included; or key of an agent, for its newest
                call. None for the newest call of the run.

        Raises:
            InvalidInput: There is no such call in a conversation.
        """
        return shown(self._host.reads.transcript(self.id, step))

    def result(self, timeout: Seconds | None = None) -> R:
        """Wait for the end and return the result.

        Args:
            timeout: Most seconds to wait; None or ``math.inf`` for no limit. The run goes on after a timeout.

        Raises:
            RunFailed: The run failed; ``step`` and ``attempts`` tell where.
            RunCancelled: The run was cancelled.
            RunParked: The run waits for a person; the message tells why.
            TimeoutError: The run has not ended in time.
            OrchestratorClosed: The orchestrator was closed before the run ended.
        """
        warn_on_loop("run.result()", "await run")
        __tracebackhide__ = True  # pytest then starts its report at the caller's line
        try:
            return self._result(timeout)
        except GreenroomError as error:
            raise outside(error)  # noqa: B904  the same error

    def _result(self, timeout: Seconds | None = None) -> R:
        """Wait like ``result``, for callers that warn about the wait, and raise its errors, by their own name."""
        patience = limit(timeout, "the timeout of result()")
        return self._decode(self._host.wait_result(self.id, patience))

    def __await__(self) -> Generator[Any, None, R]:
        """Await the end and return the result; see ``result``."""
        return self.until_over().__await__()

    async def until_over(self, timeout: float | None = None) -> R:  # noqa: ASYNC109  the contract's word
        """Await the end like ``await run``, for at most ``timeout`` seconds; for ``AsyncRun``."""
        __tracebackhide__ = True
        try:
            result = await self._host.until_result(self.id, timeout)
        except GreenroomError as error:
            raise outside(error)  # noqa: B904  the same error
        return self._decode(result)

    @property
    def aio(self) -> "AsyncRun[R]":
        """Its twin for asynchronous code: everything that blocks here is awaited there."""
        return self._host.twins.run(self)

    def events(self, after: int = 0, *, follow: bool = False) -> Items[Stored]:
        """Return the events with sequence numbers above ``after``; with ``follow``, also later ones until the end."""
        host = self._host
        stored = host.follow(self.id, after) if follow else stored_events(host.reads, self.id, after)
        waits = "run.events(follow=True)" if follow else None
        return Items(map(shown_event, stored), lambda: self.aio.events(after, follow=follow), waits)

    def stream(self, channel: str = "default", *, after: int | None = None, follow: bool = False) -> Items[StreamItem]:
        """Return the values that the workflow and its steps have emitted on a channel, in order.

        ``StreamItem.kind`` tells them apart: a step's values come with the step's key and the number of the attempt,
        and an item of kind ``"discarded"`` says that those of a lost attempt do not count.

        Args:
            channel: Name of the channel, as passed to ``emit``.
            after: Only values with offsets above this one, such as that of the last value seen; None for all.
            follow: Also return values that are emitted later, until the run has ended.
        """
        check_channel(channel)
        from greenroom.workflows.queries.records.run_records import stream_items  # noqa: PLC0415  it imports the state of runs

        stored = self._host.follow(self.id, 0) if follow else stored_events(self._host.reads, self.id)
        return Items(
            map(shown, stream_items(stored, channel, after)),
            lambda: self.aio.stream(channel, after=after, follow=follow),
            "run.stream(follow=True)" if follow else None,
        )

    def logs(self, step: str | None = None, *, after: int = 0, follow: bool = False) -> Iterator[LogLine]:
        """Return the lines that the run's code wrote to stdout and stderr, by ``print``, ``logging`` or otherwise.

        Of an attempt at most 1 MiB is kept, its first and its last lines, and of a run the last 16 MiB. A replay does
        not repeat what a workflow printed, except for what it printed after the last outcome committed before its
        process died. The output of children belongs to their own runs.

        Args:
            step: Only lines of a step: its key, or its name for every call of it.
            after: Only lines after this offset, such as that of the last line seen.
            follow: Also return lines that are written later, until the run has ended.

        Raises:
            RunNotFound: There is no such run.
        """
        if follow:
            return follow_logs(self._host.reads, self.id, after, step)
        return iter(self._host.reads.logs(self.id, after, step=step))

    def approvals(self) -> "list[ApprovalRecord]":
        """Return the open approvals of the run and its children, the oldest first; see ``Orchestrator.decide``."""
        return shown(self._host.reads.approvals(self.id))

    def cancel(self, reason: str | None = None, *, within: Seconds | None = None) -> None:
        """Cancel the run. Returns once the request is committed; a run that has ended does not change.

        ``asyncio.CancelledError`` is raised where the workflow awaits. It may clean up with steps, waits and messages
        like any other code, for as long as that takes, across restarts of the orchestrator and beyond its budget. A
        paused or parked run is resumed to clean up. Children are cancelled in the same way, and awaited. A run that
        has not begun ends at once. Cancelling again only resumes a run that was paused or parked meanwhile.

        Args:
            reason: Reason, which is recorded with the run.
            within: Seconds from now, at least 0, after which the run and its children end without the rest of their
                cleanup; None or ``math.inf`` for no limit. The earliest of several limits applies.

        Raises:
            ValueError: ``within`` is not such a number.
        """
        time = limit(within, "within")
        if (within.total_seconds() if isinstance(within, timedelta) else within or 0) < 0:
            msg = f"within is a number of seconds from 0 on, not {within!r}"
            raise ValueError(msg)
        command = checked(CancelRun, run_id=self.id, reason=reason, within=time)
        check(self._host.send(command))

    def signal(self, message: BaseModel, key: str | None = None) -> None:
        """Send the run a message, which its workflow takes with ``receive``. Returns once the message is committed.

        Args:
            message: A pydantic model; the workflow receives it by its type.
            key: Idempotency key: a message with the key of an earlier one is not sent again.

        Raises:
            RunEnded: The run has ended.
            MailboxFull: Too many messages wait.
            TypeError: ``message`` is not a pydantic model.
        """
        _check_message(message)
        name, value = type(message).__name__, ValueConverter(type(message), "the message").dump(message)
        check(self._host.send(checked(SignalRun, run_id=self.id, name=name, value=value, key=key)))

    def pause(self, reason: str | None = None) -> None:
        """Pause the run and its children. Returns once the request is committed.

        Running attempts may end, and their results are recorded. No step, retry or due timer starts before
        ``resume``. A run that has ended or is parked does not change.
        """
        check(self._host.send(checked(PauseRun, run_id=self.id, reason=reason)))

    def retry(self) -> None:
        """Continue a failed or cancelled run from the step that failed. Returns once the request is committed.

        Everything scheduled before that failure was recorded stays, with every result. The step has all of its
        attempts again, and so has every step that failed later. What followed from the failure, such as compensation,
        is discarded, and runs again if the workflow schedules it again. Emitted values stay in their streams.

        If the workflow's own code failed, it is replayed on everything recorded. A cancelled run continues from where
        it was cancelled. Failed or abandoned children continue with their parent. A parent that has received a child's
        failure does not receive the outcome of the child's own retry.

        Raises:
            RetryRefused: The run has not ended, or has completed, or the step is marked ``once=True``.
        """
        check(self._host.send(RetryRun(run_id=self.id)))

    def fork(self, at: str | None = None, input: Any = None, result: Any = ..., *, id: str | None = None) -> "Run[R]":  # noqa: A002
        """Start a run that shares this run's past up to a step, and continues differently from there.

        Everything scheduled before that step's outcome was recorded is shared, with every result: steps, waits,
        emitted values, messages received by then, and the results of children. The new run does everything else
        itself, under its own id and so with its own idempotency keys. This run does not change, and may go on.

        Args:
            at: Key of a step or child; None forks from the start and shares nothing.
            input: Other arguments for that step: by name in a mapping, in order in a list, or the only one. Without
                ``at``, those of the workflow, by name.
            result: Result of the step, which is then not run; it may be None. Without input and result the step runs
                again.
            id: Id of the new run; None derives one from this run's id. Asked for again, the same fork is that run.

        Raises:
            InvalidInput: There is no such step, or the input does not fit the workflow, or both are given.
            IdConflict: A run with this id exists, and is not this fork.
            NotSerializable: The input or the result cannot be written as JSON.
        """
        given: dict[str, Any] = {} if result is ... else {"result": _as_json(result)}
        command = checked(ForkRun, run_id=self.id, at=at, input=_as_json(input), id=id, **given)
        reply = check(self._host.send(command))
        assert isinstance(reply, Accepted)
        return Run(self._host, reply.run_id, self._decode, self._decode_state)

    def resume(self, budget: Budget | None = None) -> None:
        """Resume a paused or parked run. Returns once the request is committed.

        Args:
            budget: Limits that replace those of the run's budget. They are new totals: what was used counts. They may
                also be given for a run that is neither paused nor parked.
        """
        check(self._host.send(checked(ResumeRun, run_id=self.id, budget=budget)))


def _check_message(message: object) -> None:
    """Raise ``TypeError`` for a message that is not a pydantic model."""
    if not isinstance(message, BaseModel):
        msg = f"a message is a pydantic model, not {message!r}"
        raise TypeError(msg)


def shown_event(stored: Stored) -> Stored:
    """Return an event with its JSON values parsed."""
    return Stored(stored.seq, shown(stored.event))


def _as_json(value: object) -> Json:
    """Return a value without annotation as JSON.

    Raises:
        NotSerializable: It cannot be written as JSON.
    """
    try:
        json: Json = to_jsonable_python(value)
    except PydanticSerializationError as error:
        msg = f"{value!r:.200} cannot be written as JSON: {error}"
        raise NotSerializable(msg) from error
    return json
