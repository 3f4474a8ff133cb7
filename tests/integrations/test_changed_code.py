"""The code of an agent is edited while its run waits: what fits the journal goes on, what does not is parked untouched."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

pytest.importorskip("pydantic_ai", reason="pip install 'greenroom[pydantic-ai]'")

from greenroom import Orchestrator, RunParked
from greenroom.messages.commands import StartRun
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

APP = """
from pathlib import Path

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import FunctionModel

from greenroom import receive, workflow
from greenroom.integrations.pydantic_ai import GreenroomDurability


class Go(BaseModel):
    far: int


def note(text):
    with Path(__file__).with_name("log").open("a") as log:
        log.write(text + "\\n")


def answer(messages, info):
    note("asked")
    if any(isinstance(part, ToolReturnPart) for message in messages for part in message.parts):
        return ModelResponse(parts=[TextPart("done")])
    return ModelResponse(parts=[ToolCallPart("search", {"query": "otters"}, tool_call_id="c1")])


agent = Agent(FunctionModel(answer), name="clerk", instructions="Be brief.", capabilities=[GreenroomDurability()])


@agent.tool_plain
def search(query: str) -> str:
    note("searched")
    return query


@workflow
async def trip(question: str) -> str:
    first = await agent.run(question)
    await receive(Go)
    second = await agent.run("and now?", message_history=first.all_messages())
    return f"{first.output} {second.output}"
"""


class Go(BaseModel):
    far: int


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "trips.py"
    path.write_text(APP)
    return path


def halfway(app: Path) -> None:
    """Bring a run to where it waits for a message, and close its orchestrator."""
    with life(app) as orchestrator:
        orchestrator.send(StartRun(run_id="trip", app=str(app), workflow="trip", arguments={"question": "where?"}))
        run = orchestrator.get("trip")
        eventually(lambda: run.status == "waiting", 60)
    assert (app.parent / "log").read_text().split() == ["asked", "searched", "asked"]


def life(app: Path) -> Orchestrator:
    return Orchestrator(app.parent / "runs.db", home=app.parent / "home")


def edit(app: Path, old: str, new: str) -> None:
    text = app.read_text()
    assert text.count(old) == 1
    app.write_text(text.replace(old, new))


FITTING: dict[str, Callable[[Path], None]] = {
    "a tool's code": lambda app: edit(app, "    return query", "    return query.upper()"),
    "the model": lambda app: edit(app, 'TextPart("done")', 'TextPart("finished")'),
    "another agent before it": lambda app: edit(
        app,
        "agent = Agent(",
        'other = Agent(FunctionModel(answer), name="other", capabilities=[GreenroomDurability()])\nagent = Agent(',
    ),
}


@pytest.mark.parametrize("what", list(FITTING))
def test_what_fits_goes_on_and_repeats_nothing(what: str, app: Path) -> None:
    halfway(app)
    FITTING[what](app)
    with life(app) as orchestrator:
        run = orchestrator.get("trip")
        run.signal(Go(far=1))
        assert run.result(timeout=60).split()[0] == "done"
    assert (app.parent / "log").read_text().split() == ["asked", "searched", "asked", "asked"]


def test_other_instructions_are_found_and_the_run_is_parked_until_they_are_back(app: Path) -> None:
    halfway(app)
    edit(app, "Be brief.", "Be long.")
    with life(app) as orchestrator:
        orchestrator.get("trip").signal(Go(far=1))
        with pytest.raises(RunParked, match=r"clerk#1/model#1.*Be (brief|long)"):
            orchestrator.get("trip").result(timeout=60)
    assert (app.parent / "log").read_text().split() == ["asked", "searched", "asked"]
    edit(app, "Be long.", "Be brief.")
    with life(app) as orchestrator:
        run = orchestrator.get("trip")
        run.resume()
        assert run.result(timeout=60) == "done done"


def test_an_agent_of_another_name_is_found(app: Path) -> None:
    halfway(app)
    edit(app, 'name="clerk"', 'name="boss"')
    with life(app) as orchestrator:
        orchestrator.get("trip").signal(Go(far=1))
        with pytest.raises(RunParked, match=r"clerk#1/model#1"):
            orchestrator.get("trip").result(timeout=60)
