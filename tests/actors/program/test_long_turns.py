"""Turns that one frame does not hold: their parts fit, and together they are the turn."""

import pytest

from greenroom.actors.program.long_turns import parts
from greenroom.messages.codecs.codec import FROM_WORKER
from greenroom.messages.core.errors import NotSerializable
from greenroom.messages.frames.envelope import MAX_FRAME_BYTES, MOST_TURN_BYTES
from greenroom.messages.frames.worker import ProgramCommand, Return, ScheduleStep, ScheduleTimer, SendMessage, Turn
from greenroom.messages.options.policy import SessionPolicy, StepOptions

MIB = 1024 * 1024


def call(number: int, size: int) -> ScheduleStep:
    return ScheduleStep(
        key=f"read#{number}",
        name="read",
        kind="tool",
        step="app:read",
        arguments={"args": ["x" * size], "kwargs": {}},
        options=StepOptions(),
    )


@pytest.mark.parametrize("state", [None, {"notes": "y" * (10 * MIB)}])
@pytest.mark.parametrize("sizes", [[7 * MIB] * 5, [15 * MIB, 1, 15 * MIB], [16 * MIB - 5000], [100] * 50])
def test_the_parts_fit_a_frame_each_and_together_are_the_turn(sizes: list[int], state: dict[str, str] | None) -> None:
    commands = (*(call(number, size) for number, size in enumerate(sizes)), Return(result="done"))
    turn = Turn(run_id="r", commands=commands, state=state, fingerprint="f", version=2, cancels=1)
    *first, last = parts(turn)
    assert all(len(FROM_WORKER.encode(part)) <= MAX_FRAME_BYTES + 20 for part in (*first, last))
    assert [part.more for part in (*first, last)] == [True] * len(first) + [False]
    assert all(part.commands and part.state is None for part in first)
    assert tuple(command for part in (*first, last) for command in part.commands) == commands
    assert last.model_copy(update={"commands": commands}) == turn


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (call(3, 17 * MIB), "the call of read#3"),
        (Return(result="x" * 17 * MIB), "the result"),
        (
            SendMessage(key="k", to="chat/ada", name="Say", value="x" * 17 * MIB, policy=SessionPolicy()),
            "the message to",
        ),
    ],
)
def test_a_value_that_is_too_long_by_itself_is_named_with_what_to_do(command: ProgramCommand, what: str) -> None:
    turn = Turn(run_id="r", commands=(ScheduleTimer(key="t", seconds=1.0), command))
    with pytest.raises(
        NotSerializable, match=f"^{what} .*is too long.*: leave what is long in a file, and give its path"
    ):
        parts(turn)


def test_a_state_that_is_too_long_is_named() -> None:
    with pytest.raises(NotSerializable, match="the shared state is too long"):
        parts(Turn(run_id="r", state="x" * 17 * MIB))


def test_a_turn_has_a_bound() -> None:
    long = call(1, 15 * MIB)
    fitting = MOST_TURN_BYTES // (15 * MIB + 10_000)
    assert len(parts(Turn(run_id="r", commands=(long,) * fitting))) == fitting
    with pytest.raises(NotSerializable, match="ask for less at a time"):
        parts(Turn(run_id="r", commands=(long,) * (fitting + 1)))
