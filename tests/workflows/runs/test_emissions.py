"""The values of one job: those that arrive together are reported together, and a worker that emits much waits."""

from collections.abc import Callable
from typing import Any

import pytest

from greenroom.messages.frames.worker import Emitted
from greenroom.supervision.jobs import JobHandle, Mute
from greenroom.workflows.decisions.inputs import StepEmitted
from greenroom.workflows.runs.jobs import emissions
from greenroom.workflows.runs.jobs.emissions import Emissions


class Around:
    def __init__(self) -> None:
        self.orders: list[Any] = []
        self.reported: list[Any] = []
        self.soon: list[Callable[[], None]] = []
        job = JobHandle(self.orders.append, "t")
        self.emissions = Emissions("a#1", 1, "t", job, self.reported.append, self.soon.append)

    def say(self, *values: Any) -> None:
        for value in values:
            self.emissions.add(Emitted(token="t", channel="default", value=value))

    def turn(self) -> None:
        soon, self.soon[:] = self.soon[:], []
        for flush in soon:
            flush()


def test_values_that_arrive_together_are_one_input() -> None:
    around = Around()
    around.say(1, 2)
    assert around.reported == []
    around.turn()
    around.turn()
    assert around.reported == [StepEmitted("a#1", 1, "t", (("default", 1), ("default", 2)))]
    around.say(3)
    around.emissions.flush()
    around.turn()
    assert around.reported[1:] == [StepEmitted("a#1", 1, "t", (("default", 3),))]
    assert around.orders == []


@pytest.mark.parametrize("limit", ["MOST_VALUES", "MOST_BYTES"])
def test_a_worker_waits_from_the_limit_on_until_its_values_are_committed(
    monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(emissions, limit, 3)
    around = Around()
    around.say(1, 2, 3)
    assert around.orders == [Mute("t", muted=True)]
    assert [each.confirm for each in around.reported] == [True]
    around.say(4)  # it was read before
    around.turn()
    assert [each.confirm for each in around.reported] == [True, False]
    around.emissions.written()
    assert around.orders[1:] == [Mute("t", muted=False)]
    around.say(5, 6)
    assert len(around.orders) == 2
