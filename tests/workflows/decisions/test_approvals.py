"""Questions to people: asked once, decided once, and never lost, however often everything dies on the way."""

import asyncio
import re
import shlex
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from greenroom import StepRejected, approve, evaluator, sleep, tool, workflow
from greenroom.messages.codecs.event_codec import decode_event
from greenroom.messages.core.errors import ApprovalClosed, ApprovalNotFound
from greenroom.messages.core.json_text import plain
from greenroom.messages.events.events import ApprovalDecided, StepFailed
from greenroom.messages.frames.worker import Return, ScheduleApproval, Turn, Withdraw
from greenroom.messages.records.approvals import approval_id, split_approval_id
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from tests.workflows.decisions.test_decide import NOTHING, Case, evaluation, types
from tests.workflows.world import World


@tool
def double(n: int) -> int:
    return n * 2


@workflow
async def asking(width: int, depth: int) -> list[list[str]]:
    """Concurrent branches that ask, some without patience, and do what they are told."""

    async def branch(n: int) -> list[str]:
        told: list[str] = []
        for turn in range(depth):
            try:
                approval = await approve(f"double {n}", [n, turn], timeout=2.0 if turn % 2 else None)
            except TimeoutError:
                told.append("nobody")
                continue
            assert isinstance(approval.args, list)
            told.append(f"{approval.decision} {approval.args} {approval.by}")
            if approval.decision != "reject":
                await double(turn)
            else:
                await sleep(1)
        return told

    return list(await asyncio.gather(*(branch(n) for n in range(width))))


@pytest.mark.parametrize("block", range(4))
def test_what_a_person_decided_is_what_the_program_heard_under_random_crashes(block: int) -> None:
    deaths = late = early = 0
    for seed in range(block * 25, block * 25 + 25):
        width, depth = 1 + seed % 4, 1 + seed % 4
        world = World(asking.definition, seed, crashes=0.05, deciding=True, width=width, depth=depth)
        state = world.run()
        assert state.status == "completed", (seed, state.reason)
        assert not state.questions
        assert set(world.marks) == set(), "whoever lists the open questions finds none"
        decided = [event for event in map(decode_event, world.journal) if isinstance(event, ApprovalDecided)]
        assert len({event.key for event in decided}) == len(decided)
        result: Any = plain(state.result)
        heard = sorted(line for told in result for line in told if line != "nobody")
        assert heard == sorted(f"{event.decision} {plain(event.args)} {event.by}" for event in decided), seed
        nobody = sum(line == "nobody" for told in result for line in told)
        assert len(heard) + nobody == width * depth
        deaths += world.deaths
        early += world.decided_early
        late += nobody
    assert deaths > 30
    assert late > 10
    assert early > 10


@evaluator
def never(numbers: list[int]) -> bool:
    return not numbers


@tool(accept=[never], on_reject="escalate")
def judged(numbers: list[int]) -> list[int]:
    return numbers * 2


@workflow
async def judging(width: int) -> list[str]:
    """Results that evaluators reject, and a person takes, replaces or rejects; some are not waited for."""

    async def branch(n: int) -> str:
        try:
            async with asyncio.timeout(2.0 if n % 2 else None):
                return str(await judged([n]))
        except StepRejected:
            return "rejected"
        except TimeoutError:
            return "late"

    return list(await asyncio.gather(*(branch(n) for n in range(width))))


@pytest.mark.parametrize("block", range(4))
def test_a_rejected_result_becomes_what_a_person_made_of_it_under_random_crashes(block: int) -> None:
    deaths = 0
    seen: set[str] = set()
    for seed in range(block * 25, block * 25 + 25):
        world = World(judging.definition, seed, crashes=0.05, deciding=True, width=4)
        state = world.run()
        assert state.status == "completed", (seed, state.reason)
        assert not state.questions
        assert state.escalated == state.in_flight == 0
        assert not world.marks
        events = [decode_event(body) for body in world.journal]
        decided = {event.key.partition("@")[0]: event for event in events if isinstance(event, ApprovalDecided)}
        result = plain(state.result)
        assert isinstance(result, list)
        for n, told in enumerate(result):
            event = decided.get(f"{n + 1}/judged#1")
            made = (
                {"approve": str([n, n]), "reject": "rejected", "edit": str(plain(event.args))}[event.decision]
                if event
                else ""
            )
            assert told == (made or "late"), (seed, n)
            assert told != "late" or n % 2
            seen.add(told if told in {"late", "rejected"} else event.decision if event else "")
        assert max(len(step.attempts) - sum(not a.charged for a in step.attempts) for step in state.steps.values()) == 1
        deaths += world.deaths
    assert deaths > 20
    assert seen == {"late", "rejected", "approve", "edit"}


def ask(key: str = "approve#1", args: Any = None) -> ScheduleApproval:
    return ScheduleApproval(key=key, action="deploy", args=args)


def decide(decision: Any = "approve", key: str = "approve#1", args: Any = None) -> inputs.Decide:
    return inputs.Decide(key, decision, args, "looks good", "ada")


def test_a_question_waits_and_its_answer_is_an_outcome() -> None:
    case = Case()
    assert types(case.turn(ask(args={"to": "prod"}))) == ["approval.asked"]
    assert case.state.status == "waiting"
    assert case.state.mark_changes == [("approval", "approve#1", 2)]
    decision = case.happen(decide())
    assert types(decision) == ["approval.decided"]
    assert decision.then == [do.ReleaseSteps()]
    assert case.state.resolutions[-1].value == {
        "decision": "approve",
        "args": {"to": "prod"},
        "comment": "looks good",
        "by": "ada",
    }
    assert case.state.mark_changes[-1] == ("approval", "approve#1", None)
    assert case.turn(ask(args={"to": "prod"})) == NOTHING, "a replay says the same again"


def test_an_edit_replaces_the_arguments() -> None:
    case = Case()
    case.turn(ask(args={"to": "prod"}))
    case.happen(decide("edit", args={"to": "test"}))
    assert plain(case.state.resolutions[-1].value)["args"] == {"to": "test"}


def test_the_same_decision_twice_is_one_and_another_one_is_refused() -> None:
    case = Case()
    case.turn(ask())
    case.happen(decide())
    assert case.happen(decide()) == NOTHING
    refused = case.happen(decide("reject"))
    assert isinstance(refused.refused, ApprovalClosed)
    assert str(refused.refused) == "approval r~~approve~.1 has been decided already: it was approved by ada"
    assert refused.events == []
    assert isinstance(case.happen(decide(key="approve#2")).refused, ApprovalNotFound)
    case.happen(inputs.ProgramTurn(Turn(run_id="r", commands=(Return(result=None),))))
    assert case.happen(decide()) == NOTHING, "what was accepted stays so"
    assert isinstance(case.happen(decide("reject")).refused, ApprovalClosed)


def test_two_edits_are_the_same_only_where_they_say_the_same() -> None:
    case = Case()
    case.turn(ask())
    case.happen(decide("edit", args=1))
    assert case.happen(decide("edit", args=1)).refused is None
    assert isinstance(case.happen(decide("edit", args=2)).refused, ApprovalClosed)


def test_a_question_that_nobody_waits_for_any_more_is_withdrawn() -> None:
    case = Case()
    case.turn(ask(), ask("approve#2"))
    assert types(case.turn(Withdraw(key="approve#1"))) == ["approval.withdrawn"]
    assert isinstance(case.happen(decide()).refused, ApprovalClosed)
    ended = case.happen(inputs.ProgramTurn(Turn(run_id="r", commands=(Return(result=None),))))
    assert types(ended) == ["approval.withdrawn", "run.completed"]
    assert [change[1:] for change in case.state.mark_changes if change[2] is None] == [
        ("approve#1", None),
        ("approve#2", None),
    ]


def rejected(**options: Any) -> Case:
    case = Case()
    case.step(accept=("app:concise",), on_reject="escalate", **options)
    case.answer("too long")
    assert types(case.judge(evaluation(0.4))) == ["step.evaluated", "approval.asked"]
    return case


def test_a_rejected_result_waits_for_a_person() -> None:
    case = rejected()
    (question,) = case.state.questions.values()
    assert (question.action, question.args, question.step) == ("use the result of search", "too long", "search#1")
    assert case.state.steps["search#1"].status == "escalated"
    assert case.state.status == "waiting"
    assert "search#1@1" not in case.state.known_keys(), "the program has not asked"
    assert types(case.happen(inputs.Recover(orphaned=True))) == [], "and nothing begins anew after a crash"


def test_a_person_can_take_a_rejected_result_as_it_is() -> None:
    case = rejected()
    decision = case.happen(decide(key="search#1@1"))
    assert types(decision) == ["approval.decided", "step.completed"]
    assert decision.then == [do.ReleaseSteps()]
    assert [outcome.value for outcome in case.state.resolutions] == ["too long"]
    assert case.state.escalated == case.state.in_flight == 0


def test_a_person_can_give_another_result() -> None:
    case = rejected()
    case.happen(decide("edit", key="search#1@1", args="short"))
    assert case.state.resolutions[-1].value == "short"
    assert case.state.steps["search#1"].result == "short"


def test_a_person_can_reject_a_result_for_good() -> None:
    case = rejected()
    decision = case.happen(decide("reject", key="search#1@1"))
    assert types(decision) == ["approval.decided", "step.failed"]
    failed = decision.events[-1]
    assert isinstance(failed, StepFailed)
    assert (failed.reason, failed.failure.message) == ("rejected", "rejected by ada: looks good")
    step = case.state.steps["search#1"]
    assert (step.status, step.attempts[-1].outcome, step.result) == ("failed", "rejected", None)


def test_a_step_that_nobody_awaits_takes_its_question_with_it() -> None:
    case = rejected()
    assert types(case.turn(Withdraw(key="search#1"))) == ["approval.withdrawn", "step.failed"]
    assert case.state.escalated == 0
    case = rejected()
    ended = case.happen(inputs.ProgramTurn(Turn(run_id="r", commands=(Return(result=None),))))
    assert types(ended) == ["approval.withdrawn", "step.failed", "run.completed"]


@given(run_id=st.text(min_size=1), key=st.text(min_size=1))
@example(run_id="chat/a:b", key="2.1/say[50%:x]#1@2")
@example(run_id="nightly~20261122T030000Z", key="a~~b~.~2F")
def test_an_id_stands_for_one_run_and_one_key_and_needs_no_quotes(run_id: str, key: str) -> None:
    name = approval_id(run_id, key)
    assert split_approval_id(name) == (run_id, key)
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", name)
    assert quote(name, safe="") == shlex.quote(name).strip("'") == name


@pytest.mark.parametrize(
    ("old", "run_id", "key"),
    [
        ("release-7:approve#1", "release-7", "approve#1"),
        ("chat/a:b:2.1/say[50%25%3Ax]#1@2", "chat/a:b", "2.1/say[50%:x]#1@2"),
    ],
)
def test_an_id_of_an_older_version_means_the_same(old: str, run_id: str, key: str) -> None:
    assert split_approval_id(old) == (run_id, key) == split_approval_id(approval_id(run_id, key))


@pytest.mark.parametrize("name", ["", "brief-1", "~~", "a~~", "~~b", "a~~b~", "a~~~~b", "a~~~FF", "a~~b#1", "a~~~2f"])
def test_what_is_no_id_stands_for_nothing(name: str) -> None:
    assert split_approval_id(name) == ("", "")
