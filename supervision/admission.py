"""Admission of calls to models and tools: rate limits, pauses that providers ask for, breakers.

Calls that may not start wait here, outside of the pools, so they take no worker from other calls. They are not
attempts yet: nothing of them is recorded, and nothing is charged.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Protocol

from typing_extensions import override

from greenroom.messages.frames.worker import Completed, Execute, Failed, FromWorker
from greenroom.messages.options.call_limits import Breaker, ModelLimit
from greenroom.messages.options.policy import Limits
from greenroom.messages.records.records import ActorRecord
from greenroom.supervision.jobs import (
    Answered,
    Assigned,
    Job,
    JobEvent,
    JobHandle,
    JobOrder,
    Lost,
    PoolKey,
    Release,
    Withdraw,
)
from greenroom.supervision.policy.circuit_breaker import CircuitBreaker, is_infrastructure
from greenroom.supervision.policy.held_calls import TOOL, HeldCalls
from greenroom.supervision.policy.rate_limit import RateLimit

UNLIMITED: Final = ModelLimit(concurrency=None)


class Alarm(Protocol):
    """A call that is set for a time."""

    def cancel(self) -> None:
        """Cancel it."""
        ...


@dataclass(slots=True, eq=False)
class _Call:
    """A job that passes the gate of its model or tool."""

    job: Job
    pool: PoolKey
    limits: Limits | None
    handle: JobHandle | None = None
    """Gives orders to the pool; None while it waits."""


@dataclass(slots=True, eq=False)
class _Gate:
    """The calls of one model or tool."""

    name: str
    rate: RateLimit
    breaker: CircuitBreaker | None
    queue: OrderedDict[str, _Call] = field(default_factory=OrderedDict[str, _Call])
    """Calls that may not start yet, by token, first come first served."""
    started: dict[str, _Call] = field(default_factory=dict[str, _Call])
    held: dict[str, _Call] = field(default_factory=dict[str, _Call])
    """Calls that a worker was chosen for, and that may not be sent to it before the provider's pause is over."""
    alarm: tuple[float, Alarm] | None = None


class AdmittedJob(JobHandle):
    """Gives orders about a job that passes a gate.

    Args:
        order: Gives an order to the gate.
        token: Token of the job.
        waits: Returns whether the job waits for a time that the gate has set.
    """

    __slots__ = ("_waits",)

    def __init__(self, order: Callable[[JobOrder], None], token: str, waits: Callable[[], bool]) -> None:
        """Keep the arguments; no order is given yet."""
        super().__init__(order, token)
        self._waits = waits

    @property
    @override
    def waits(self) -> bool:
        return self._waits()


class Admission:
    """Holds calls of models and tools back, and submits them to their pools. Reactor thread only; never blocks.

    Args:
        submit: Submits a job to its pool.
        limits: Limits of models, by name. Other models have the defaults; the built-in ``"mock"`` has none.
        breakers: Breakers, by name of a model or by ``tool:`` and the name of a tool; None for no breaker. Other models
            have the default one, other tools and ``"mock"`` none.
        clock: Returns seconds since the Unix epoch.
        call_at: Sets an alarm for a time of that clock.
        held: What held calls back when an earlier orchestrator ended.
        keep: Told what holds calls back, whenever that changes.
    """

    def __init__(
        self,
        submit: Callable[[PoolKey, Limits | None, Job], JobHandle],
        limits: Mapping[str, ModelLimit],
        breakers: Mapping[str, Breaker | None],
        clock: Callable[[], float],
        call_at: Callable[[float, Callable[[], object]], Alarm],
        *,
        held: Sequence[HeldCalls] = (),
        keep: Callable[[Sequence[HeldCalls]], object] = lambda _held: None,
    ) -> None:
        """Start without any call."""
        self._submit = submit
        self._limits = dict(limits)
        self._breakers = dict(breakers)
        self._tools = {name.removeprefix(TOOL) for name in breakers if name.startswith(TOOL)}
        self._clock = clock
        self._call_at = call_at
        self._gates: dict[str, _Gate] = {}
        self._keep = keep
        now = clock()
        for each in held:
            if each.words(now):
                self._hold_again(each, now)

    def _hold_again(self, held: HeldCalls, now: float) -> None:
        """Hold back what an earlier orchestrator held back, but not for longer than it could: clocks are set back."""
        gate = self._open(held.name)
        gate.rate.hold(now, held.held_until - now)
        if gate.breaker is not None and held.open_until is not None:
            gate.breaker.reopen(min(held.open_until, now + gate.breaker.policy.cooldown))

    def submit(self, pool: PoolKey, limits: Limits | None, job: Job) -> JobHandle:
        """Submit a job to its pool, once its model or tool may be called."""
        name = job.model
        if not name:
            if not self._tools or not isinstance(job.frame, Execute) or job.frame.name not in self._tools:
                return self._submit(pool, limits, job)
            name = TOOL + job.frame.name
        gate = self._gates.get(name) or self._open(name)
        gate.queue[job.token] = _Call(job, pool, limits)
        if len(gate.queue) == 1:
            self._serve(gate)
        token = job.token
        return AdmittedJob(partial(self._order, gate), token, lambda: token in gate.queue or token in gate.held)

    @property
    def held(self) -> int:
        """Number of jobs that pools have, and that wait for the end of a provider's pause."""
        return sum(len(gate.held) for gate in self._gates.values())

    def records(self) -> tuple[ActorRecord, ...]:
        """Return a record of every model and tool that was limited, or could have been."""
        now = self._clock()
        return tuple(_record(gate, now) for gate in self._gates.values())

    def _open(self, name: str) -> _Gate:
        """Make the gate of a model or tool that is called for the first time."""
        is_model = not name.startswith(TOOL)
        default = None if name == "mock" or not is_model else Breaker()
        policy = self._breakers.get(name, default)
        plain = UNLIMITED if name == "mock" or not is_model else ModelLimit()
        breaker = None if policy is None else CircuitBreaker(policy)
        gate = self._gates[name] = _Gate(name, RateLimit(self._limits.get(name, plain)), breaker)
        return gate

    # ------------------------------------------------------------ passing

    def _serve(self, gate: _Gate) -> None:
        """Let calls pass as far as the limits allow; set an alarm for the next one if it has to wait for a time."""
        now = self._clock()
        if gate.held and now >= gate.rate.held_until:
            held, gate.held = gate.held, {}
            for token, call in held.items():
                if call.handle is not None and token in gate.started:
                    call.handle.release()
        due: float | None = gate.rate.held_until if gate.held else None
        while gate.queue:
            token, call = next(iter(gate.queue.items()))
            at = gate.rate.next_at(now, call.job.tokens)
            reopens = now if gate.breaker is None else gate.breaker.next_at(now)
            if at is None or reopens is None:
                break  # the end of another call serves this one
            if (at := max(at, reopens)) > now:
                due = at if due is None else min(due, at)
                break
            del gate.queue[token]
            gate.started[token] = call
            gate.rate.start(now, token, call.job.tokens)
            if gate.breaker is not None:
                gate.breaker.started(token)
            job = replace(call.job, reply=partial(self._hear, gate, call))
            call.handle = self._submit(call.pool, call.limits, job)
        self._set_alarm(gate, due)

    def _set_alarm(self, gate: _Gate, due: float | None) -> None:
        if gate.alarm is not None:
            if gate.alarm[0] == due:
                return
            gate.alarm[1].cancel()
            gate.alarm = None
        if due is not None:
            gate.alarm = due, self._call_at(due, partial(self._ring, gate))

    def _ring(self, gate: _Gate) -> None:
        gate.alarm = None
        self._serve(gate)

    def _order(self, gate: _Gate, order: JobOrder) -> None:
        """Pass an order to the pool of a job; keep a release during the provider's pause."""
        token = order.token
        if isinstance(order, Withdraw) and gate.queue.pop(token, None) is not None:
            if order.done is not None:
                order.done()
            self._serve(gate)
            return
        call = gate.started.get(token)
        if call is None or call.handle is None:
            return
        if isinstance(order, Release) and self._clock() < gate.rate.held_until:
            gate.held[token] = call
            self._serve(gate)
            return
        call.handle.order(order)
        if isinstance(order, Withdraw):
            self._ended(gate, token, None)

    # ------------------------------------------------------------ what happens to calls

    def _hear(self, gate: _Gate, call: _Call, event: JobEvent) -> None:
        token = event.token
        if token not in gate.started:
            return
        now, before = self._clock(), _held(gate)
        message = event.message if isinstance(event, Answered) else None
        _learn(gate, event, message, now)
        if _held(gate) != before:
            self._keep([each for each in map(_held, self._gates.values()) if each.words(now)])
        if not isinstance(event, Assigned) and (message is None or isinstance(message, (Completed, Failed))):
            self._ended(gate, token, _used(message))
        call.job.reply(event)

    def _ended(self, gate: _Gate, token: str, used: int | None) -> None:
        gate.started.pop(token, None)
        gate.held.pop(token, None)
        gate.rate.end(token, used)
        if gate.breaker is not None:
            gate.breaker.dropped(token)  # nothing, unless it was a probe that showed nothing
        self._serve(gate)


def _learn(gate: _Gate, event: JobEvent, message: FromWorker | None, now: float) -> None:
    """Learn from what happens to a call whether its model or tool works, and whether the provider wants a pause."""
    breaker, token = gate.breaker, event.token
    if isinstance(message, Failed):
        failure = message.failure
        is_model = not gate.name.startswith(TOOL)
        if is_model and failure.retry_after is not None:
            gate.rate.hold(now, failure.retry_after)
        if breaker is not None:
            if is_infrastructure(failure, model=is_model):
                breaker.failed(token, now)
            elif failure.outcome != "cancelled" and failure.retry_after is None:
                breaker.succeeded(token)
    elif isinstance(message, Completed) and breaker is not None:
        breaker.succeeded(token)
    elif isinstance(event, Lost) and event.charged and breaker is not None:
        breaker.failed(token, now)


def _held(gate: _Gate) -> HeldCalls:
    return HeldCalls(gate.name, gate.rate.held_until, None if gate.breaker is None else gate.breaker.open_until)


def _used(message: FromWorker | None) -> int | None:
    """Return the tokens that a call has used, or None if they are not known."""
    usage = message.usage if isinstance(message, (Completed, Failed)) else {}
    found = [usage[name] for name in ("input_tokens", "output_tokens") if name in usage]
    return int(sum(found)) if found else None


def _record(gate: _Gate, now: float) -> ActorRecord:
    rate, breaker = gate.rate, gate.breaker
    status: str = "running" if breaker is None or breaker.status == "closed" else breaker.status
    parts = [f"{rate.running} running, {len(gate.queue) + len(gate.held)} waiting"]
    if rate.held_until > now:
        status = "held" if status == "running" else status
        parts.append(f"the provider asked to wait for {rate.held_until - now:.1f} s more")
    if breaker is not None and breaker.openings:
        parts.append(f"its breaker has opened {breaker.openings} times")
    return ActorRecord(
        id=gate.name.removeprefix(TOOL),
        kind="tool" if gate.name.startswith(TOOL) else "model",
        status=status,
        escalations=0 if breaker is None else breaker.openings,
        detail="; ".join(parts),
    )
