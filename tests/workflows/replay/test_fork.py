"""Forks: what they share of their origin's past, and what they do themselves."""

import random

import pytest

from greenroom.messages.codecs.event_codec import decode_event, encode_event
from greenroom.messages.commands import ForkRun
from greenroom.messages.core.errors import InvalidInput
from greenroom.messages.core.json_text import JsonText
from greenroom.messages.events import events as ev
from greenroom.messages.frames.worker import Return, ScheduleApproval, ScheduleChild, ScheduleTimer, SendMessage
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.replay.fork_events import forked, is_same_fork
from greenroom.workflows.queries.run_diff import first_difference
from greenroom.workflows.state.fold import fold_all
from greenroom.workflows.state.run_state import RunState
from tests.workflows.decisions.test_decide import evaluation, schedule
from tests.workflows.replay.test_run_retry_point import FAIL, Past, Word, careful, check_journal, expected, raising
from tests.workflows.world import World


@pytest.mark.parametrize("block", range(4))
def test_a_fork_from_any_step_comes_to_the_same_end_and_repeats_nothing_it_shares(block: int) -> None:
    shared = 0
    for seed in range(block * 20, block * 20 + 20):
        width, depth = 1 + seed % 5, 1 + seed % 4
        words = [Word(n=n) for n in (1, 2, 3)]
        origin = World(
            careful.definition, seed, crashes=0.03, messages=words, retries=True, cancels=0.01, width=width, depth=depth
        )
        origin.run()
        past = [decode_event(body) for body in origin.journal]
        cut = random.Random(seed).randrange(len(past) // 2, len(past) + 1)
        past = past[:cut]  # a fork may be made while its origin goes on
        state = fold_all(past)
        if not state.steps:
            continue
        key = random.Random(seed).choice(list(state.steps))
        events = forked(past, ForkRun(run_id="r", at=key), "f", origin.now, "seed")
        fork = World(
            careful.definition,
            seed,
            crashes=0.03,
            messages=words,
            retries=True,
            past=events,
            width=width,
            depth=depth,
        )
        shared_steps = {each.key for each in fork.state.steps.values() if each.status == "completed"}
        assert key not in shared_steps
        found = fork.run()
        assert found.status == "completed", (seed, found.reason)
        assert found.result == expected(width, depth), seed
        assert found.in_flight == 0, seed
        shared += len(shared_steps)
        for event in map(decode_event, fork.journal[len(events) :]):
            if isinstance(event, ev.RunRetried):  # a failure that is shared may be what it is cut at
                shared_steps -= {*event.forgotten}
            assert not isinstance(event, ev.AttemptStarted) or event.key not in shared_steps
        check_journal_of_own(fork, len(events))
    assert shared > 50


def check_journal_of_own(world: World, shared: int) -> None:
    """The shared attempts have the tokens of their origin, which counts on its own."""
    world.journal = [encode_event(event) for event in map(decode_event, world.journal[shared:])]
    check_journal(world, numbered=False)


def fork(case: Past, at: str | None = "b#1", **changes: object) -> tuple[RunState, list[ev.AnyEvent]]:
    command = ForkRun.model_validate({"run_id": "r", "at": at, **changes})
    events = forked(case.events, command, "f", case.now, "seed")
    return fold_all(events), events


def chain() -> Past:
    """Give a run of three steps, one after the other."""
    case = Past()
    for key in ("a#1", "b#1", "c#1"):
        case.step(key)
        case.answer(key.upper(), key)
    case.turn(Return(result="done"))
    return case


def test_a_fork_shares_what_was_before_its_step_and_runs_that_step_anew() -> None:
    state, events = fork(chain())
    assert [(step.key, step.status) for step in state.steps.values()] == [("a#1", "completed"), ("b#1", "scheduled")]
    assert (state.run_id, state.status, state.in_flight) == ("f", "running", 1)
    assert state.steps["b#1"].attempts == []
    assert isinstance(events[0], ev.RunStarted)
    assert events[0].origin == "r"


def test_another_result_takes_the_place_of_the_step() -> None:
    state, _ = fork(chain(), result="other")
    assert state.steps["b#1"].status == "completed"
    assert [(item.key, item.value) for item in state.resolutions] == [("a#1", "A#1"), ("b#1", "other")]
    assert (state.in_flight, state.inherited) == (0, 1)


def test_nothing_may_be_the_other_result_and_is_something_else_than_none_given() -> None:
    state, events = fork(chain(), result=None)
    assert state.steps["b#1"].status == "completed"
    assert [(item.key, item.value) for item in state.resolutions] == [("a#1", "A#1"), ("b#1", None)]
    _, without = fork(chain())
    assert not is_same_fork(events, without)
    for command in (ForkRun(run_id="r", at="b#1"), ForkRun(run_id="r", at="b#1", result=None)):
        again = ForkRun.model_validate_json(command.model_dump_json())
        assert again.gives_result == command.gives_result


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ({"query": "cats"}, {"args": [], "kwargs": {"query": "cats"}}),
        (["cats", 3], {"args": ["cats", 3], "kwargs": {}}),
        ("cats", {"args": ["cats"], "kwargs": {}}),
    ],
)
def test_another_input_takes_the_place_of_the_arguments(given: object, arguments: object) -> None:
    assert fork(chain(), input=given)[0].steps["b#1"].arguments == arguments


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ({"query": "cats"}, {"query": "cats"}),
        (["cats", 3], {"query": "cats", "most": 3}),
        (["cats"], {"query": "cats"}),
        ([], {}),
        ("cats", {"query": "cats"}),
    ],
)
def test_another_input_of_a_child_is_journaled_by_name_in_whatever_form_it_is_given(
    given: object, arguments: object
) -> None:
    """What is not an object would be an event that no reader accepts."""
    case = Past()
    case.turn(ScheduleChild(key="x#1", workflow="c", arguments={"query": "dogs", "most": 5}))
    state, events = fork(case, at="x#1", input=given)
    assert state.children["x#1"].arguments == arguments
    assert [decode_event(encode_event(event)) for event in events] == events
    with pytest.raises(InvalidInput, match="takes `query`, `most`, and the input has 3 arguments"):
        fork(case, at="x#1", input=["cats", 3, 4])


def fork_again(past: list[ev.AnyEvent], at: str, **changes: object) -> tuple[RunState, list[ev.AnyEvent]]:
    command = ForkRun.model_validate({"run_id": "f", "at": at, **changes})
    events = [decode_event(encode_event(event)) for event in forked(past, command, "g", 9.0, "second seed")]
    return fold_all(events), events


def test_a_fork_of_a_fork_keeps_the_result_that_its_origin_was_given() -> None:
    state, past = fork(chain(), result="other")
    later = [*past, *(event for event in chain().events if getattr(event, "key", "") == "c#1")]
    again, events = fork_again(later, "c#1", result="new")
    assert [(item.key, item.value) for item in again.resolutions] == [("a#1", "A#1"), ("b#1", "other"), ("c#1", "new")]
    assert [event.copied for event in events if isinstance(event, ev.RunForked)] == [True, False]
    assert [(each.shared, each.seed) for each in again.later_seeds] == [(1, "seed"), (2, "second seed")]
    assert again.diverted == {"b#1", "c#1"}
    assert (again.in_flight, again.inherited, state.inherited) == (0, 2, 1)


def test_a_fork_of_a_fork_at_the_same_step_runs_that_step_anew_or_gives_it_another_result() -> None:
    _, past = fork(chain(), result="other")
    open_again, _ = fork_again(past, "b#1")
    assert [(step.key, step.status) for step in open_again.steps.values()] == [
        ("a#1", "completed"),
        ("b#1", "scheduled"),
    ]
    assert (open_again.in_flight, open_again.later_seeds[-1].seed) == (1, "second seed")
    given, _ = fork_again(past, "b#1", result="new")
    assert [(item.key, item.value) for item in given.resolutions] == [("a#1", "A#1"), ("b#1", "new")]


def test_a_fork_of_a_fork_from_before_that_one_shares_nothing_of_it() -> None:
    _, past = fork(chain(), input="cats")
    state, events = fork_again(past, "a#1")
    assert list(state.steps) == ["a#1"]
    assert [event.copied for event in events if isinstance(event, ev.RunForked)] == [False]
    assert state.diverted == {"a#1"}


def test_without_a_step_nothing_is_shared_and_the_input_is_the_workflows() -> None:
    state, events = fork(chain(), at=None, input={"topic": "cats"})
    assert len(events) == 1
    assert (state.arguments, state.seed) == ({"topic": "cats"}, "seed")


def test_what_was_under_way_beside_the_step_is_shared_once_it_has_its_result() -> None:
    case = Past()
    case.turn(schedule("a#1"), schedule("b#1"), schedule("c#1"))
    for key in ("a#1", "b#1", "c#1"):
        case.happen(inputs.StepAssigned(key, 1, key, "tool-1", 1, 1))
    case.answer_as("b#1", "B")
    case.answer_as("c#1", "C")
    state, _ = fork(case)
    assert {step.key: step.status for step in state.steps.values()} == {
        "a#1": "scheduled",
        "b#1": "scheduled",
        "c#1": "completed",
    }


def test_children_that_ended_give_their_results_and_others_are_the_forks_own() -> None:
    case = Past()
    case.turn(
        ScheduleChild(key="x#1", workflow="c", arguments={}), ScheduleChild(key="y#1", workflow="c", arguments={})
    )
    case.happen(inputs.ChildFinished("x#1", 1, None))
    case.turn(ScheduleTimer(key="timer#1", seconds=30))
    case.step("b#1")
    case.now += 10
    case.fail(FAIL, "b#1")
    case.turn(raising("b#1"))
    case.now += 1000
    state, _ = fork(case)
    assert {child.run_id: child.open for child in state.children.values()} == {"r~1": False, "f~2": True}
    assert state.timers == {"timer#1": case.now + 20}
    assert fork(case, at="y#1", result=5)[0].resolutions[-1].value == 5


def test_a_fork_of_a_step_that_is_not_there_says_what_was_meant() -> None:
    with pytest.raises(InvalidInput, match="did you mean 'b#1'"):
        fork(chain(), at="b1")
    with pytest.raises(InvalidInput, match="not both"):
        fork(chain(), input=1, result=2)
    with pytest.raises(InvalidInput, match="needs the key"):
        fork(chain(), at=None, result=2)


def test_the_first_difference_is_found_by_key() -> None:
    case = chain()
    same, _ = fork(case, result="B#1")
    assert (found := first_difference(case.state, same)) is not None
    assert (found.what, found.key) == ("missing", "c#1")
    other = first_difference(case.state, fork(case, result="other")[0])
    assert other is not None
    assert (other.what, other.key, other.a, other.b) == ("result", "b#1", "B#1", "other")
    given = first_difference(case.state, fork(case, input="x")[0])
    assert given is not None
    assert (given.what, given.key) == ("arguments", "b#1")
    assert first_difference(case.state, case.state) is None


@pytest.mark.parametrize(
    ("a", "b", "differ"),
    [
        ("1", "true", True),
        ('{"found": [0]}', '{"found": [false]}', True),
        ("1", "1.0", False),
        (f'["{"x" * 70_000}",1]', f'["{"x" * 70_000}", 1]', False),
        (f'["{"x" * 70_000}",1]', f'["{"x" * 70_000}", true]', True),
    ],
    ids=["a flag is no number", "nor within a value", "numbers", "a long text written otherwise", "a long text"],
)
def test_values_differ_if_they_are_not_the_same_as_json(a: str, b: str, differ: bool) -> None:
    one, other = JsonText(a.encode()), JsonText(b.encode())
    first, second = (fork(chain(), result=value)[0] for value in (one, other))
    found = first_difference(first, second)
    assert (found is not None) == differ
    assert found is None or (found.what, found.key) == ("result", "b#1")
    first, second = (fork(chain(), input=JsonText(b"[" + value.text + b"]"))[0] for value in (one, other))
    found = first_difference(first, second)
    assert (found is not None) == differ
    assert found is None or (found.what, found.key) == ("arguments", "b#1")


def test_the_first_difference_may_be_the_result_of_a_child() -> None:
    case = Past()
    case.turn(ScheduleChild(key="kid#1", workflow="kid", arguments={"n": 1}))
    case.happen(inputs.ChildFinished("kid#1", "theirs", None))
    case.step("b#1")
    case.answer("B#1", "b#1")
    found = first_difference(case.state, fork(case, "kid#1", result="ours")[0])
    assert found is not None
    assert (found.kind, found.what, found.key, found.a, found.b) == ("child", "result", "kid#1", "theirs", "ours")
    given = first_difference(case.state, fork(case, "kid#1", input={"n": 2})[0])
    assert given is not None
    assert (given.what, given.key, given.b) == ("arguments", "kid#1", {"n": 2})


def test_questions_to_people_are_shared_with_their_answers_and_open_ones_are_asked_by_the_fork_too() -> None:
    case = Past()
    for key in ("open#1", "answered#1"):
        case.turn(ScheduleApproval(key=key, action="pay", args={"usd": 3}))
    case.happen(inputs.Decide("answered#1", "approve", None, "", "me"))
    case.step("b#1")
    case.answer("B", "b#1")
    state, _ = fork(case)
    assert list(state.questions) == ["open#1"]
    assert [item.key for item in state.resolutions] == ["answered#1"]


def test_a_result_that_a_person_has_edited_is_shared_as_it_was_edited() -> None:
    case = Past()
    case.step("a#1", accept=("app:concise",), on_reject="escalate")
    case.answer("long", "a#1")
    case.judge(evaluation(0.1), key="a#1")
    case.happen(inputs.Decide("a#1@1", "edit", "short", "", "me"))
    case.step("b#1")
    state, _ = fork(case)
    assert (state.steps["a#1"].result, state.steps["a#1"].status) == ("short", "completed")
    assert (state.questions, state.escalated) == ({}, 0)


def test_a_message_that_was_sent_is_shared_and_one_that_followed_from_what_is_forgotten_may_be_sent_again() -> None:
    case = Past()
    case.turn(SendMessage(key="early#1", to="chat/a", name="Go", value=1))
    case.happen(inputs.Delivered("early#1", None))
    case.step("b#1")
    case.fail(FAIL, "b#1")
    case.turn(SendMessage(key="late#1", to="chat/a", name="Stop", value=2))
    case.turn(raising("b#1"))
    state, _ = fork(case)
    assert (state.known_keys(), state.outgoing) == (("early#1", "b#1"), {})
    assert case.retry().forgotten == ("late#1",)
    assert case.state.known_keys() == ("early#1", "b#1")
    assert case.turn(SendMessage(key="late#1", to="chat/a", name="Stop", value=2)).events
