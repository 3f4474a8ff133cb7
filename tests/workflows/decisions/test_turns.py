"""Sessions: every message answered once and in order, with all it did to the world or nothing of it."""

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from greenroom import StepFailed, emit, now, random, session, sleep, tool
from greenroom.journal.interface import Stored
from greenroom.messages.codecs.event_codec import decode_event
from greenroom.messages.core.errors import MailboxFull, SessionClosed
from greenroom.messages.core.failures import Exit, Failure
from greenroom.messages.core.json_text import plain
from greenroom.messages.events.events import (
    AnyEvent,
    MessageReceived,
    MessageSent,
    SessionOpened,
    TurnEnded,
    TurnFailed,
    ValueEmitted,
)
from greenroom.messages.frames.worker import EmitValue, Raise, Return, ScheduleStep, SendMessage, Turn, Withdraw
from greenroom.messages.options.policy import Budget, OnFailure, StepOptions
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.budget_usage import Overdraft
from greenroom.workflows.decisions.decide import PROGRAM_CRASHES, decide
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.decisions.messages import mailbox
from greenroom.workflows.state.fold import fold, recall
from tests.workflows.decisions.test_decide import types
from tests.workflows.world import World


class Sum(BaseModel):
    total: int = 0
    seen: list[int] = []
    chances: list[float] = []


class Add(BaseModel):
    n: int


class Spoil(BaseModel):
    n: int


@tool
def double(n: int) -> int:
    return n * 2


@tool
def bad() -> None:
    pass


@session(state=Sum)
async def adder(state: Sum, message: Add | Spoil) -> int:
    """Do something of everything; a spoilt message fails after it has done it all."""
    state.seen.append(message.n)
    await emit(message.n)
    await adder.tell("other", Add(n=message.n))
    first, second = await asyncio.gather(double(message.n), double(message.n + 1))
    try:
        async with asyncio.timeout(1.0):
            await sleep(message.n % 3)
    except TimeoutError:
        state.total += 1
    try:
        await bad()
    except StepFailed:
        state.total += first + second
    state.chances.append(random())
    now()
    if isinstance(message, Spoil):
        msg = "spoilt"
        raise TypeError(msg)
    return state.total


def events_of(world: World) -> list[AnyEvent]:
    return [decode_event(body) for body in world.journal]


@pytest.mark.parametrize("block", range(4))
def test_every_message_is_answered_once_in_order_under_random_crashes(block: int) -> None:
    deaths = wakes = 0
    for seed in range(block * 15, block * 15 + 15):
        sent = [Spoil(n=n) if n % 4 == 2 else Add(n=n) for n in range(8)]
        world = World(adder.definition, seed, crashes=0.02, messages=sent)
        state = world.run()
        good = [message.n for message in sent if isinstance(message, Add)]
        events = events_of(world)
        received = [plain(event.value)["n"] for event in events if isinstance(event, MessageReceived)]
        assert received == list(range(8)), seed
        over = [event for event in events if isinstance(event, (TurnEnded, TurnFailed))]
        assert [event.number for event in over] == list(range(1, 9)), seed
        assert [isinstance(event, TurnFailed) for event in over] == [isinstance(each, Spoil) for each in sent], seed
        shared: Any = plain(state.shared)
        assert shared["seen"] == good, seed
        assert len(set(shared["chances"])) == len(good), seed
        emitted = [(event.offset, event.value) for event in events if isinstance(event, ValueEmitted)]
        assert emitted == list(enumerate(good)), seed
        assert [plain(event.value)["n"] for event in events if isinstance(event, MessageSent)] == good, seed
        assert sorted(int(plain(value)["n"]) for value in world.posted.values()) == good, seed
        deaths += world.deaths
        wakes += world.wakes
    assert deaths > 50
    assert wakes > 15


def test_what_a_turn_did_is_recorded_in_one_append_with_its_end() -> None:
    world = World(adder.definition, 1, crashes=0.0, messages=[Add(n=1), Add(n=2)])
    appends: list[list[str]] = []
    record = world._record

    def note(events: list[AnyEvent]) -> None:
        appends.append([event.type for event in events])
        record(events)

    world._record = note  # type: ignore[method-assign]
    world.run()
    ends = [append for append in appends if "turn.ended" in append]
    assert ends == [["value.emitted", "message.sent", "turn.ended"]] * 2
    assert sum("value.emitted" in append or "message.sent" in append for append in appends) == 2


# ---------------------------------------------------------------- decisions


class Case:
    """A session that decides about one input after the other."""

    def __init__(self, **opened: Any) -> None:
        first = SessionOpened(at=1.0, run_id="chat/a", app="app", session="chat", key="a", **opened)
        self.state = fold(None, first)

    def happen(self, happened: inputs.Input) -> Decision:
        return decide(self.state, happened, now=10.0, unit=0.5)

    def send(self, n: int, key: str | None = None) -> Decision:
        return self.happen(inputs.Signal("Add", {"n": n}, key, known=0))

    def turn(self, *commands: Any, state: Any = None) -> Decision:
        return self.happen(inputs.ProgramTurn(Turn(run_id="chat/a", commands=commands, state=state)))


def test_the_first_message_starts_a_turn_and_the_next_ones_wait() -> None:
    case = Case()
    assert case.send(1).then == [do.StartProgram()]
    assert case.state.status == "pending"
    assert case.send(2).then == []
    decision = case.turn(Return(result="one"), state={"total": 1})
    assert types(decision) == ["turn.ended"]
    assert decision.now == [do.EndProgram()]
    assert [type(effect) for effect in decision.then] == [do.TurnOver, do.StartProgram]
    assert case.state.shared == {"total": 1}
    assert case.state.letter is not None
    assert case.state.letter[0] == 2


def test_an_idle_session_waits_and_needs_only_its_first_and_newest_events() -> None:
    case = Case()
    for n in range(3):
        case.send(n)
        case.turn(Return(result=n), state={"total": n})
    assert case.state.status == "waiting"
    assert case.state.wake_seq == case.state.seq - 1


def test_a_message_with_a_known_key_is_not_taken_twice() -> None:
    case = Case()
    assert case.send(1, key="k").receipt == 1
    again = case.send(1, key="k")
    assert (again.events, again.receipt) == ([], -1)
    case.turn(Return(result=None))
    old = case.happen(inputs.Signal("Add", {"n": 1}, "forgotten", known=7))
    assert (old.events, old.receipt) == ([], -7)


def test_a_full_mailbox_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "CAPACITY", 2)
    case = Case()
    case.send(1)
    case.send(2)
    assert isinstance(case.send(3).refused, MailboxFull)


def test_a_closed_session_answers_what_waits_and_takes_nothing_more() -> None:
    case = Case()
    case.send(1)
    assert types(case.happen(inputs.Close())) == ["close.requested"]
    assert isinstance(case.send(2).refused, SessionClosed)
    decision = case.turn(Return(result=None))
    assert types(decision) == ["turn.ended", "session.closed"]
    assert case.state.status == "completed"
    assert isinstance(case.send(3).refused, SessionClosed)
    assert case.happen(inputs.Close()).events == []


@pytest.mark.parametrize("on_failure", ["continue", "stop"])
def test_a_session_is_still_closed_when_it_is_read_after_a_later_turn(on_failure: OnFailure) -> None:
    case = Case(on_failure=on_failure)
    first = Stored(1, SessionOpened(at=0.0, run_id="chat/a", app="m", session="chat", key="a", on_failure=on_failure))
    decisions = [case.send(1), case.send(2), case.happen(inputs.Close()), case.turn(Return(result=None))]
    if on_failure == "stop":
        decisions.append(case.turn(Raise(failure=Failure(outcome="error", type="E", message="no"))))
    events = [event for decision in decisions for event in decision.events]
    tail = [Stored(seq, event) for seq, event in enumerate(events, 2) if seq > case.state.wake_seq]
    case.state = recall(first, tail)
    assert isinstance(case.send(3).refused, SessionClosed)
    decision = case.turn(Return(result=None)) if on_failure == "continue" else case.happen(inputs.Resume())
    assert types(decision)[-1] == "session.closed"
    assert do.Announce() in decision.then


def test_an_idle_session_is_closed_at_once() -> None:
    assert types(Case().happen(inputs.Close())) == ["close.requested", "session.closed"]


def test_a_turn_that_keeps_killing_its_process_is_set_aside_and_the_next_one_begins() -> None:
    case = Case()
    case.send(1)
    case.send(2)
    gone = Exit(kind="signaled", signal="SIGSEGV")
    for _ in range(PROGRAM_CRASHES - 1):
        assert types(case.happen(inputs.ProgramLost(gone, charged=True))) == ["program.ended"]
    decision = case.happen(inputs.ProgramLost(gone, charged=True))
    assert types(decision) == ["program.ended", "turn.failed"]
    assert case.state.program_crashes == 0
    assert do.StartProgram() in decision.then
    assert ("dead_letter", "1", case.state.seq) in case.state.mark_changes


def test_a_session_that_stops_at_failures_is_parked_and_goes_on_with_the_next_message() -> None:
    case = Case(on_failure="stop")
    case.send(1)
    case.send(2)
    gone = Exit(kind="exited", code=1)
    for _ in range(PROGRAM_CRASHES):
        decision = case.happen(inputs.ProgramLost(gone, charged=True))
    assert types(decision) == ["program.ended", "turn.failed", "run.parked"]
    assert do.StartProgram() not in decision.then
    assert "message 1 failed" in str(case.state.reason)
    assert case.send(3).then == []
    assert do.StartProgram() in case.happen(inputs.Resume()).then
    assert case.state.letter is not None
    assert case.state.letter[0] == 2


def test_what_a_turn_asks_for_in_its_last_moment_is_not_begun() -> None:
    case = Case()
    case.send(1)
    step = ScheduleStep(key="1/x#1", name="x", kind="tool", step="m:x", arguments={}, options=StepOptions())
    decision = case.turn(step, Return(result=None))
    assert types(decision) == ["step.scheduled", "turn.ended"]
    assert decision.now == [do.EndProgram()]
    assert case.state.steps == {}
    assert case.happen(inputs.StepAssigned("1/x#1", 1, "t", "w", 1, 1)).events == []


def test_what_the_last_moment_of_a_turn_withdraws_is_stopped_once() -> None:
    case = Case()
    case.send(1)
    case.turn(ScheduleStep(key="1/x#1", name="x", kind="tool", step="m:x", arguments={}, options=StepOptions()))
    case.happen(inputs.StepAssigned("1/x#1", 1, "t", "w", 1, 1))
    decision = case.turn(Withdraw(key="1/x#1"), Return(result=None))
    assert types(decision) == ["attempt.ended", "step.failed", "turn.ended"]
    assert decision.now == [do.WithdrawStep("1/x#1"), do.EndProgram()]


def test_a_session_that_is_closed_after_the_time_of_its_budget_has_ended_and_is_not_parked() -> None:
    case = Case(budget=Budget(wall=5.0))
    over = Overdraft("chat/a", "used up", late=True)
    decision = decide(case.state, inputs.Close(), 10.0, 0.5, over)
    assert types(decision) == ["close.requested", "session.closed"]
    assert case.state.status == "completed"


def test_a_message_that_was_sent_is_delivered_until_somebody_says_it_has_arrived() -> None:
    case = Case()
    case.send(1)
    decision = case.turn(SendMessage(key="1/tell(chat/b)#1", to="chat/b", name="Add", value={"n": 1}), Return(result=0))
    assert do.Deliver("1/tell(chat/b)#1") in decision.then
    assert case.happen(inputs.Recover(orphaned=True)).then[0] == do.Deliver("1/tell(chat/b)#1")
    assert types(case.happen(inputs.Delivered("1/tell(chat/b)#1", None))) == ["message.delivered"]
    assert case.happen(inputs.Delivered("1/tell(chat/b)#1", None)).events == []
    assert do.Deliver("1/tell(chat/b)#1") not in case.happen(inputs.Recover(orphaned=True)).then


def test_keys_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenroom.workflows.state.turns.REMEMBERED", 3)
    case = Case()
    for n in range(10):
        case.send(n, key=f"k{n}")
        case.turn(Return(result=None))
    assert list(case.state.message_keys) == ["k7", "k8", "k9"]


def test_a_failure_of_a_step_is_named_with_the_dead_letter() -> None:
    world = World(failing.definition, 3, crashes=0.0, messages=[Add(n=1)])
    world.run()
    (failed,) = [event for event in events_of(world) if isinstance(event, TurnFailed)]
    assert failed.step == "1/bad#1"
    assert isinstance(failed.failure, Failure)
    assert failed.value == {"n": 1}


@session
async def failing(state: Sum, message: Add) -> None:
    await bad()


# ---------------------------------------------------------------- cancelled turns

STEP = ScheduleStep(key="1/x#1", name="x", kind="tool", step="m:x", arguments={}, options=StepOptions())
CANCELLED = Raise(failure=Failure(outcome="cancelled", message="it was cancelled"), cancelled=True)


def test_a_cancelled_turn_fails_for_its_asker_is_no_dead_letter_and_the_next_one_begins() -> None:
    case = Case(on_failure="stop")
    case.send(1)
    case.send(2)
    case.turn(STEP, state={"total": 1})
    case.happen(inputs.StepAssigned("1/x#1", 1, "t", "w", 1, 1))
    asked = case.happen(inputs.CancelTurn("too slow"))
    assert (types(asked), asked.receipt) == (["turn.cancel_requested"], 1)
    assert case.state.resolutions[-1].kind == "cancel"
    again = case.happen(inputs.CancelTurn("still too slow"))
    assert (again.events, again.receipt) == ([], 1)
    decision = case.happen(
        inputs.ProgramTurn(Turn(run_id="chat/a", commands=(Withdraw(key="1/x#1"), CANCELLED), cancels=1))
    )
    assert types(decision) == ["attempt.ended", "step.failed", "turn.failed"]
    assert decision.now == [do.WithdrawStep("1/x#1"), do.EndProgram()]
    assert do.StartProgram() in decision.then
    failed = decision.events[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.cancelled
    assert failed.failure.outcome == "cancelled"
    assert failed.failure.message == "the turn was cancelled: too slow"
    assert failed.state is None
    assert not [mark for mark in case.state.mark_changes if mark[0] == "dead_letter"]
    assert case.state.letter is not None
    assert case.state.letter[0] == 2
    assert not case.state.turn_cancelled


def test_a_turn_without_anything_running_is_not_cancelled() -> None:
    case = Case(on_failure="stop")
    assert case.happen(inputs.CancelTurn(None)) == Decision(case.state, 0.0, 0.0)
    case.send(1)
    case.send(2)
    case.turn(Raise(failure=Failure(outcome="error", type="x", message="no")))
    assert case.state.status == "parked"
    waiting = case.happen(inputs.CancelTurn(None))
    assert (waiting.events, waiting.receipt) == ([], 0), "what waits for a person to resume the session stays"
    assert case.state.letter is not None


@pytest.mark.parametrize("halt", [inputs.Pause("lunch"), inputs.NoWorkers("no app")])
def test_a_turn_that_is_paused_or_parked_goes_on_to_clean_up(halt: inputs.Input) -> None:
    case = Case()
    case.send(1)
    case.turn(STEP)
    case.happen(halt)
    decision = case.happen(inputs.CancelTurn(None))
    assert types(decision) == ["run.resumed", "turn.cancel_requested"]
    assert do.StartProgram() in decision.then
    assert do.Dispatch("1/x#1", 1) not in decision.now, "nothing begins before the handler has heard of it"


def test_an_orchestrator_that_dies_after_the_request_goes_on_with_it() -> None:
    case = Case()
    case.send(1)
    case.turn(STEP)
    case.happen(inputs.CancelTurn("too slow"))
    decision = case.happen(inputs.Recover(orphaned=True))
    assert do.StartProgram() in decision.then
    assert do.Dispatch("1/x#1", 1) not in decision.now
    heard = case.happen(inputs.ProgramTurn(Turn(run_id="chat/a", commands=(), cancels=1)))
    assert types(heard) == ["cancel.heard"]


def test_a_handler_that_returns_or_fails_all_the_same_does_nothing_to_the_world() -> None:
    held = EmitValue(key="1/emit(default)", number=1, channel="default", value=1, held=True)
    sent = SendMessage(key="1/tell(chat/b)#1", to="chat/b", name="Add", value={"n": 1})
    now_ = EmitValue(key="1/emit_now(default)", number=1, channel="default", value=1)
    for ending, why in (
        (Return(result="done"), "the turn was cancelled: stop"),
        (
            Raise(failure=Failure(outcome="error", type="ValueError", message="no"), stop=True),
            "the turn was cancelled: stop; its handler then failed: ValueError: no",
        ),
    ):
        case = Case()
        case.send(1)
        case.happen(inputs.ProgramAssigned("p", 1, 1))
        case.happen(inputs.CancelTurn("stop"))
        decision = case.turn(now_, held, sent, ending, state={"total": 9})
        assert types(decision) == ["value.emitted", "turn.failed"]
        failed = decision.events[-1]
        assert isinstance(failed, TurnFailed)
        assert failed.failure.message == why
        assert case.state.shared is None
        assert case.state.status == "waiting"


def test_a_session_that_is_closed_or_cancelled_ends_after_its_cancelled_turn() -> None:
    case = Case()
    case.send(1)
    case.turn(STEP)
    case.happen(inputs.CancelTurn(None))
    case.happen(inputs.Close())
    assert types(case.turn(CANCELLED))[-2:] == ["turn.failed", "session.closed"]
    case = Case()
    case.send(1)
    case.turn(STEP)
    case.happen(inputs.CancelTurn(None))
    case.happen(inputs.Cancel("all of it"))
    assert case.state.holding
    assert types(case.turn(CANCELLED))[-1] == "run.cancelled"


def test_a_value_that_is_emitted_now_stays_though_the_turn_fails_and_a_replay_does_not_repeat_it() -> None:
    now_ = EmitValue(key="1/emit_now(default)", number=1, channel="default", value=1)
    case = Case()
    case.send(1)
    assert types(case.turn(now_)) == ["value.emitted"]
    assert case.turn(now_).events == []
    decision = case.turn(now_, Raise(failure=Failure(outcome="error", type="x", message="no")))
    assert types(decision) == ["turn.failed"]
    assert case.state.offsets == {"default": 1}
