"""Attempts whose time is over are told of at that moment, in whatever order deadlines are set and forgotten."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from greenroom.supervision.pool.dispatch.deadlines import Deadlines
from tests.supervision.memory import JumpingLoop

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["set", "forget"]), st.integers(0, 4), st.integers(0, 200).map(lambda eighths: eighths / 8)
    ),
    min_size=1,
    max_size=30,
)
"""What is done with which of five attempts, and the seconds: of its time, and until the next thing is done."""


@given(STEPS)
def test_each_deadline_is_met_and_none_that_was_forgotten(steps: list[tuple[str, int, float]]) -> None:
    loop = JumpingLoop()
    heard: list[tuple[Any, float]] = []
    deadlines = Deadlines(loop, lambda flight: heard.append((flight, loop.time())))
    expected: list[tuple[Any, float]] = []
    dues: dict[int, float] = {}

    def pass_time(until: float) -> None:
        expected.extend((number, due) for number, due in dues.items() if due <= until)
        for number in [number for number, due in dues.items() if due <= until]:
            del dues[number]
        loop.call_at(until, loop.stop)
        loop.run_forever()

    for what, number, seconds in steps:
        if what == "set":
            deadlines.set(number, seconds)  # type: ignore[arg-type]  # anything that can be told from others
            dues[number] = loop.time() + seconds
        else:
            deadlines.forget(number)  # type: ignore[arg-type]
            dues.pop(number, None)
        pass_time(loop.time() + seconds / 2)
    pass_time(loop.time() + 100)
    loop.close()
    assert sorted(heard) == sorted(expected)
    assert not dues


def test_a_deadline_that_is_set_where_another_is_over_is_met() -> None:
    loop = JumpingLoop()
    heard: list[float] = []

    def over(flight: Any) -> None:
        heard.append(loop.time())
        if len(heard) < 4:
            deadlines.set(flight, 2.0)

    deadlines = Deadlines(loop, over)
    deadlines.set("first", 1.0)  # type: ignore[arg-type]
    deadlines.set("second", 3.5)  # type: ignore[arg-type]
    began = loop.time()
    loop.call_at(began + 100, loop.stop)
    loop.run_forever()
    loop.close()
    assert [at - began for at in heard] == [1.0, 3.0, 3.5, 5.0, 5.5]
