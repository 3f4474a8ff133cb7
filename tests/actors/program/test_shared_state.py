"""The shared state of a program: which changes it reports."""

from typing import Any

import pytest
from pydantic import BaseModel

from greenroom import workflow
from greenroom.actors.program.shared_state import SharedState
from greenroom.messages.core.json_text import plain
from greenroom.messages.frames.worker import StartProgram


class Answers(BaseModel):
    given: dict[str, Any] = {}


@workflow
async def ask(state: Answers) -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("before", "after"), [(1, True), (0, False), (1, 1.0), ([1], [True]), ({"a": 1, "b": 2}, {"b": 2, "a": 1})]
)
def test_a_change_is_reported_though_python_takes_the_values_for_equal(before: Any, after: Any) -> None:
    state = SharedState(ask.definition)
    state.begin(StartProgram(run_id="r", workflow="ask", arguments={}, seed="s", started_at=1.0))
    assert state.changed() is None
    assert isinstance(state.value, Answers)
    state.value.given["first"] = before
    assert plain(state.changed()) == {"given": {"first": before}}
    assert state.changed() is None
    state.value.given["first"] = after
    assert repr(plain(state.changed())) == repr({"given": {"first": after}})
    assert state.changed() is None
