"""Runs that failed go on from what failed: on the past that they could have had, and with nothing done twice."""

import asyncio
from collections import defaultdict

import pytest
from pydantic import BaseModel

from greenroom import emit, receive
from greenroom.actors.failures.description import failed_calls
from greenroom.messages.codecs.event_codec import decode_event
from greenroom.messages.core.errors import StepFailed
from greenroom.messages.core.failures import Failure
from greenroom.messages.events import events as ev
from greenroom.messages.frames.worker import (
    Completed,
    Failed,
    Raise,
    ScheduleApproval,
    ScheduleChild,
    ScheduleReceive,
    ScheduleStep,
    ScheduleTimer,
    Withdraw,
)
from greenroom.workflows.authoring.decorators import sleep, tool, workflow
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.decisions.replay.run_retry_point import retried
from greenroom.workflows.decisions.steps.retried_steps import idempotency_key
from greenroom.workflows.state.fold import fold, fold_all
from tests.workflows.decisions.test_decide import NOW, Case, schedule, types
from tests.workflows.world import World


class Word(BaseModel):
    n: int


@tool
def double(n: int) -> int:
    return n * 2


@tool
def flaky(n: int) -> int:
    return n * 2


@workflow
async def careful(width: int, depth: int) -> list[int]:
    """Branches that clean up after what fails, some in a group and some gathered, with timers and messages beside."""

    async def branch(start: int) -> int:
        n = start
        for turn in range(depth):
            try:
                async with asyncio.timeout(40):
                    n = await flaky(n) % 1000
            except StepFailed:
                await double(n)
                raise
            n = await double(n) % 1000
            await emit(n, str(start))
            if turn % 2:
                await sleep(1 + n % 5)
        return n

    async def listen() -> int:
        return sum([(await receive(Word)).n for _ in range(3)])

    if width % 2:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(branch(n)) for n in range(width)]
            heard = group.create_task(listen())
        return [*(task.result() for task in tasks), heard.result()]
    found = await asyncio.gather(*(branch(n) for n in range(width)), listen(), return_exceptions=True)
    for item in found:
        if isinstance(item, BaseException):
            raise item
    return [item for item in found if isinstance(item, int)]


def expected(width: int, depth: int) -> list[int]:
    def branch(n: int) -> int:
        for _ in range(depth):
            n = n * 2 % 1000 * 2 % 1000
        return n

    return [*(branch(n) for n in range(width)), 6]


def check_journal(world: World, *, numbered: bool = True) -> None:
    """No attempt is numbered twice or has another's token, and no result that stayed was come to twice."""
    tokens: set[str] = set()
    numbers: dict[str, int] = defaultdict(int)
    done: set[str] = set()
    for event in map(decode_event, world.journal):
        match event:
            case ev.AttemptStarted(key=key, attempt=attempt, token=token):
                assert token not in tokens
                tokens.add(token)
                assert attempt == numbers[key] + 1 or not numbered, event
                numbers[key] = attempt
                assert key not in done, f"{key} had its result and ran again"
            case ev.StepCompleted(key=key):
                done.add(key)
            case ev.RunRetried(forgotten=forgotten, reopened=reopened):
                assert not done & {*reopened}
                done -= {*forgotten}
            case _:
                pass


@pytest.mark.parametrize("block", range(4))
def test_a_run_that_is_retried_until_it_succeeds_ends_as_if_nothing_had_failed(block: int) -> None:
    retries = deaths = 0
    for seed in range(block * 25, block * 25 + 25):
        width, depth = 1 + seed % 5, 1 + seed % 4
        words = [Word(n=n) for n in (1, 2, 3)]
        world = World(
            careful.definition, seed, crashes=0.05, messages=words, retries=True, cancels=0.01, width=width, depth=depth
        )
        state = world.run()
        assert state.status == "completed", (seed, state.reason)
        assert state.result == expected(width, depth), seed
        assert state.in_flight == 0, seed
        assert sum(state.emitted.values()) == width * depth, seed
        check_journal(world)
        retries += sum(b"run.retried" in body for body in world.journal)
        deaths += world.deaths
    assert retries > 20
    assert deaths > 20


class Past(Case):
    """A run whose events are kept, so that it can be retried."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[ev.AnyEvent] = [ev.RunStarted(at=NOW, run_id="r", app="app.py", workflow="w", arguments={})]

    def happen(self, happened: inputs.Input) -> Decision:
        decision = super().happen(happened)
        self.events += decision.events
        return decision

    def answer_as(self, key: str, result: str) -> Decision:
        """Answer an attempt whose token is its key."""
        return self.happen(inputs.StepAnswered(key, 1, key, Completed(token=key, result=result, duration=0.1)))

    def retry(self, by: str | None = None) -> ev.RunRetried:
        event = retried("r", self.events, self.now, by)
        self.events.append(event)
        fold(self.state, event)
        assert self.state.in_flight == fold_all(self.events).in_flight
        return event


FAIL = Failure(outcome="error", type="ValueError", message="no", fatal=True)


def raising(*calls: str) -> Raise:
    return Raise(failure=FAIL, step=calls[0] if len(calls) == 1 else None, calls=calls)


def test_what_was_asked_for_after_the_failure_is_forgotten_and_what_was_before_keeps_its_result() -> None:
    case = Past()
    case.turn(schedule("a#1"), schedule("b#1"))
    case.assign("a#1")
    case.happen(inputs.StepAssigned("b#1", 1, "tb", "tool-2", 1, 1))
    case.fail(FAIL, "a#1")
    case.happen(inputs.StepAnswered("b#1", 1, "tb", Completed(token="tb", result=2, duration=0.1)))
    case.step("refund#1")
    case.turn(state={"refunded": True})
    case.answer("done", "refund#1")
    case.turn(raising("a#1"))
    event = case.retry()
    assert (event.forgotten, event.reopened) == (("refund#1",), ("a#1",))
    assert [(item.key, item.value) for item in case.state.resolutions] == [("b#1", 2)]
    assert case.state.known_keys() == ("a#1", "b#1")
    assert (case.state.shared, case.state.status, case.state.in_flight) == (None, "running", 1)
    assert case.happen(inputs.Recover(orphaned=False)).now == [do.Dispatch("a#1", 2)]


def test_of_several_failures_in_a_group_the_first_is_where_history_is_cut() -> None:
    case = Past()
    for key in ("a#1", "b#1"):
        case.turn(schedule(key))
        case.happen(inputs.StepAssigned(key, 1, key, "tool-1", 1, 1))
    for key in ("b#1", "a#1"):
        case.happen(inputs.StepAnswered(key, 1, key, Failed(token=key, failure=FAIL, duration=0.1)))
    case.turn(raising("a#1", "b#1"))
    assert case.retry().reopened == ("a#1", "b#1")


def test_a_failure_that_was_handled_before_stays_what_it_was() -> None:
    case = Past()
    case.step("a#1")
    case.fail(FAIL, "a#1")
    case.step("b#1")
    case.fail(FAIL, "b#1")
    case.turn(raising("b#1"))
    assert case.retry().reopened == ("b#1",)
    assert [item.key for item in case.state.resolutions] == ["a#1"]


def test_a_wait_that_went_on_at_the_failure_has_left_what_was_left_then() -> None:
    case = Past()
    case.turn(ScheduleTimer(key="timer#1", seconds=60))
    case.now += 20
    case.step("a#1")
    case.fail(FAIL, "a#1")
    case.turn(Withdraw(key="timer#1"), raising("a#1"))
    case.now += 86_400
    assert case.retry().timers == {"timer#1": case.now + 40}
    assert case.state.wait_changes[-1] == ("timer#1", case.now + 40)
    assert case.state.timers == {"timer#1": case.now + 40}


def test_a_step_that_may_run_once_is_not_begun_again_when_its_neighbour_is() -> None:
    case = Past()
    case.turn(schedule("a#1"), schedule("b#1", once=True), schedule("c#1", once=True))
    case.assign("a#1")
    case.happen(inputs.StepAssigned("b#1", 1, "tb", "tool-2", 1, 1))
    case.fail(FAIL, "a#1")
    case.turn(raising("a#1"))
    assert case.retry().reopened == ("a#1", "b#1", "c#1")
    decision = case.happen(inputs.Recover(orphaned=False))
    assert types(decision) == ["step.failed"]
    assert (case.state.resolutions[-1].key, case.state.resolutions[-1].reason) == ("b#1", "unknown")
    assert decision.now == [do.Dispatch("a#1", 2), do.Dispatch("c#1", 1)], "one that had not begun may begin"
    assert case.happen(inputs.Recover(orphaned=False)).events == []


@pytest.mark.parametrize(
    ("arguments", "events", "dispatched"), [(1, ["step.scheduled", "step.completed"], 0), (2, ["step.scheduled"], 1)]
)
def test_a_once_step_that_is_asked_for_again_gives_its_result_and_another_call_of_it_runs(
    arguments: int, events: list[str], dispatched: int
) -> None:
    def refund(value: int) -> ScheduleStep:
        return schedule("refund#1", once=True).model_copy(update={"arguments": {"args": [value], "kwargs": {}}})

    case = Past()
    case.step("a#1")
    case.fail(FAIL, "a#1")
    case.turn(refund(1))
    case.assign("refund#1")
    case.answer("refunded", "refund#1")
    case.turn(raising("a#1"))
    case.retry()
    decision = case.turn(refund(arguments))
    assert types(decision) == events
    assert len(decision.now) == dispatched
    step = case.state.steps["refund#1"]
    assert idempotency_key(case.state, step) == ("r/refund#1" if arguments == 1 else "r/refund#1+1")
    assert step.next_attempt == 2


def test_a_child_that_is_asked_for_again_is_another_run() -> None:
    case = Past()
    case.step("a#1")
    case.fail(FAIL, "a#1")
    case.turn(ScheduleChild(key="child#1", workflow="c", arguments={}))
    case.turn(raising("a#1"))
    case.retry()
    case.turn(ScheduleChild(key="child#1", workflow="c", arguments={}))
    assert case.state.children["child#1"].run_id == "r~2"


def test_a_child_that_failed_is_to_go_on_and_that_order_can_be_told_from_others() -> None:
    case = Past()
    case.turn(ScheduleChild(key="child#1", workflow="c", arguments={}))
    case.happen(inputs.ChildFinished("child#1", None, FAIL))
    case.turn(raising("child#1"))
    case.retry()
    first = case.state.children["child#1"].retry
    assert do.StartChild("child#1") in case.happen(inputs.Recover(orphaned=False)).then
    case.happen(inputs.ChildFinished("child#1", None, FAIL))
    case.turn(raising("child#1"))
    case.retry()
    assert first is not None
    assert case.state.children["child#1"].retry not in {None, first}


def test_a_message_that_was_taken_by_what_is_forgotten_is_there_again() -> None:
    case = Past()
    case.step("a#1")
    case.fail(FAIL, "a#1")
    case.turn(ScheduleReceive(key="late#1", name="Go"))
    case.happen(inputs.Signal("Go", {"n": 1}))
    assert case.state.mailbox == {}
    case.turn(raising("a#1"))
    case.retry()
    assert list(case.state.mailbox) == [1]
    case.turn(ScheduleReceive(key="early#1", name="Go"))
    assert case.state.resolutions[-1].value == {"n": 1}


def test_a_request_to_cancel_is_forgotten_with_what_it_led_to() -> None:
    case = Past()
    case.happen(inputs.ProgramAssigned("program-1", 7, 1))
    case.step("a#1")
    case.happen(inputs.Cancel("enough"))
    case.turn(Withdraw(key="a#1"), Raise(failure=FAIL, cancelled=True))
    assert case.state.status == "cancelled"
    assert case.retry("parent:7").reopened == ("a#1",)
    assert (case.state.resolutions, case.state.cancel_requested, case.state.retried) == ([], None, "parent:7")
    assert case.happen(inputs.Cancel(None)).events, "it can be cancelled again"


def test_exceptions_lead_back_to_the_calls_they_come_from() -> None:
    def step(key: str) -> StepFailed:
        return StepFailed(key, step=key)

    own = KeyError("own")
    own.__context__ = step("a")
    from_other = KeyError("from")
    from_other.__cause__, from_other.__context__ = step("b"), step("c")
    assert failed_calls(step("a")) == ("a",)
    assert failed_calls(own) == ("a",)
    assert failed_calls(from_other) == ("b",)
    assert failed_calls(ExceptionGroup("two", [own, ExceptionGroup("more", [step("b"), KeyError()])])) == ("a", "b")
    assert failed_calls(KeyError()) == ()


def test_a_question_that_the_failure_took_back_is_asked_again_and_an_answered_one_is_not() -> None:
    case = Past()
    case.turn(
        ScheduleApproval(key="approve#1", action="a", args=1), ScheduleApproval(key="approve#2", action="b", args=2)
    )
    case.step()
    case.happen(inputs.Decide("approve#1", "approve"))
    case.fail(FAIL)
    case.turn(raising("search#1"))
    assert not case.state.questions
    case.retry()
    assert list(case.state.questions) == ["approve#2"]
    assert list(case.state.answers) == ["approve#1"]
    assert case.state.mark_changes[-1] == ("approval", "approve#2", 3)
    assert case.happen(inputs.Decide("approve#2", "reject")).refused is None
