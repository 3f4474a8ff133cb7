"""Messages to runs: in order, each once, however often everything dies on the way."""

import asyncio
from dataclasses import replace

import pytest
from pydantic import BaseModel

from greenroom import receive, workflow
from greenroom.messages.core.errors import MailboxFull, RunEnded
from greenroom.messages.frames.worker import RefuseMessage, Return, ScheduleReceive, Turn, Withdraw
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.messages import mailbox
from tests.workflows.decisions.test_decide import NOTHING, Case, types
from tests.workflows.world import World


class Left(BaseModel):
    n: int


class Right(BaseModel):
    n: int


@workflow
async def collect(count: int) -> list[list[int]]:
    """Take messages of two types at once; of one of them with so little patience that waits end all the time."""

    async def patient() -> list[int]:
        return [(await receive(Left)).n for _ in range(count)]

    async def impatient() -> list[int]:
        taken: list[int] = []
        while len(taken) < count:
            try:
                taken.append((await receive(Right, timeout=1.0)).n)
            except TimeoutError:
                continue
        return taken

    return list(await asyncio.gather(patient(), impatient()))


@pytest.mark.parametrize("block", range(4))
def test_every_message_is_taken_once_and_in_order_under_random_crashes_and_timeouts(block: int) -> None:
    deaths = withdrawn = 0
    for seed in range(block * 25, block * 25 + 25):
        messages = [kind(n=n) for n in range(6) for kind in (Left, Right)]
        world = World(collect.definition, seed, crashes=0.03, messages=messages, count=6)
        state = world.run()
        assert state.status == "completed", (seed, state.reason)
        assert state.result == [[0, 1, 2, 3, 4, 5]] * 2, seed
        assert not state.mailbox
        deaths += world.deaths
        withdrawn += sum(b"receive.withdrawn" in body for body in world.journal)
    assert deaths > 50
    assert withdrawn > 10


def ask(key: str, name: str = "Go") -> ScheduleReceive:
    return ScheduleReceive(key=key, name=name)


def send(n: int, key: str | None = None) -> inputs.Signal:
    return inputs.Signal("Go", {"n": n}, key)


def test_a_message_goes_to_who_has_waited_longest_for_its_type() -> None:
    case = Case()
    case.turn(ask("a", "Stop"), ask("b"), ask("c"))
    assert case.state.status == "waiting"
    assert types(case.happen(send(1))) == ["message.received", "message.taken"]
    assert [(r.key, r.value) for r in case.state.resolutions] == [("b", {"n": 1})]
    assert list(case.state.receives) == ["a", "c"]


def test_messages_that_nobody_awaits_are_kept_in_order() -> None:
    case = Case()
    assert types(case.happen(send(1))) == ["message.received"]
    case.happen(send(2))
    assert types(case.turn(ask("a"), ask("b"))) == ["receive.asked", "message.taken"] * 2
    assert [(r.key, r.value) for r in case.state.resolutions] == [("a", {"n": 1}), ("b", {"n": 2})]
    assert case.turn(ask("a"), ask("b")) == NOTHING, "a replay says the same again"


def test_a_key_that_came_before_is_the_same_message() -> None:
    case = Case()
    case.happen(send(1, "once"))
    assert case.happen(send(1, "once")) == replace(NOTHING, receipt=-1)
    assert len(case.state.mailbox) == 1


def test_a_message_on_its_way_to_a_wait_that_ended_is_there_for_the_next() -> None:
    case = Case()
    case.turn(ask("a"))
    case.happen(send(1))
    case.happen(send(2))
    assert types(case.turn(Withdraw(key="a"), ask("b"))) == ["receive.withdrawn", "receive.asked", "message.taken"]
    assert case.state.resolutions[-1].value == {"n": 1}
    assert case.turn(Withdraw(key="a"), ask("b")) == NOTHING, "a replay says the same again"
    case.turn(ask("c"), ask("d"))
    assert case.state.resolutions[-1].value == {"n": 2}
    assert types(case.turn(Withdraw(key="c"))) == ["receive.withdrawn", "message.taken"], "another waits already"
    assert (case.state.resolutions[-1].key, case.state.resolutions[-1].value) == ("d", {"n": 2})


def test_a_message_that_could_not_be_read_is_refused_once() -> None:
    case = Case()
    case.turn(ask("a"))
    case.happen(send(1))
    refusal = RefuseMessage(key="a", reason="n: is not a number")
    assert types(case.turn(refusal)) == ["message.refused"]
    assert case.turn(refusal) == NOTHING


def test_a_full_mailbox_and_a_run_that_has_ended_take_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "CAPACITY", 2)
    case = Case()
    case.happen(send(1))
    case.happen(send(2, "two"))
    refused = case.happen(send(3))
    assert isinstance(refused.refused, MailboxFull)
    assert refused.events == []
    assert case.happen(send(2, "two")) == replace(NOTHING, receipt=-2), "what was accepted stays so"
    case.turn(ask("a"))
    assert case.happen(send(3)).refused is None
    case.happen(inputs.ProgramTurn(Turn(run_id="r", commands=(Return(result=None),))))
    assert isinstance(case.happen(send(4)).refused, RunEnded)


def test_a_message_that_is_given_back_goes_to_a_call_that_asks_in_the_same_turn() -> None:
    case = Case()
    case.turn(ask("a"))
    case.happen(send(1))
    decision = case.turn(ask("b"), Withdraw(key="a"))
    assert types(decision) == ["receive.asked", "receive.withdrawn", "message.taken"]
    assert not case.state.mailbox
