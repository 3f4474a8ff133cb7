"""An app's file is edited between two lives of an orchestrator: what fits goes on, what does not is parked untouched."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from greenroom import Orchestrator, RunParked
from greenroom.messages.events.events import CodeAdopted, RunStarted
from greenroom.messages.events.events import RunParked as Parked
from tests.acceptance import harness
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

APP = '''
from pathlib import Path

from pydantic import BaseModel
from greenroom import LLM, MockModel, receive, tool, workflow


class Go(BaseModel):
    far: int


@tool
def note(folder: str, text: str) -> str:
    with Path(folder, "log").open("a") as log:
        log.write(text + "\\n")
    return text


@tool
def other(folder: str) -> int:
    return 1


@workflow
async def child(folder: str) -> str:
    """Be one."""
    go = await receive(Go)
    return await note(folder, f"child {go.far}")


@workflow
async def trip(folder: str) -> str:
    """Go."""
    first = await note(folder, "first")
    go = await receive(Go)
    return await note(folder, f"{first} {go.far}")


@workflow
async def parent(folder: str) -> str:
    return await child(folder)


writer = LLM("writer", tools=[other], model=MockModel(replies=["written"], latency=0.0))


@workflow
async def letter(folder: str) -> str:
    said = await writer("Write.")
    await receive(Go)
    return said
'''


class Go(BaseModel):
    far: int


Life = Callable[[], Orchestrator]


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "trips.py"
    path.write_text(APP)
    return path


@pytest.fixture
def life(tmp_path: Path, home: Path, mark: str) -> Life:
    return lambda: Orchestrator(tmp_path / "runs.db", pools=harness.pools())


def edit(app: Path, old: str, new: str) -> None:
    text = app.read_text()
    assert text.count(old) == 1
    app.write_text(text.replace(old, new))


def begin(life: Life, app: Path, name: str = "trip") -> None:
    """Start a run and close the orchestrator while the run waits."""
    with life() as orchestrator:
        run = orchestrator.start_app(str(app), name, {"folder": str(app.parent)}, id="r")
        eventually(lambda: run.status == "waiting" or name == "parent", what="the wait")
        if name == "parent":
            waiting = lambda: [run.id for run in orchestrator.runs("waiting") if run.id == "r~1"]  # noqa: E731
            eventually(waiting, what="the child's wait")


def log(app: Path) -> list[str]:
    path = app.parent / "log"
    return path.read_text().splitlines() if path.exists() else []


def go(orchestrator: Orchestrator, run_id: str = "r") -> None:
    orchestrator.get(run_id).signal(Go(far=7))


def test_comments_and_layout_are_no_change(app, life):
    begin(life, app)
    edit(app, '    """Go."""\n', '    """Go there."""\n\n    # first\n')
    with life() as orchestrator:
        go(orchestrator)
        run = orchestrator.get("r")
        assert run.result(30) == "first 7"
        events = [stored.event for stored in run.events()]
    assert not [event for event in events if isinstance(event, CodeAdopted)]
    assert isinstance(events[0], RunStarted)
    assert events[0].version == 1
    assert events[0].fingerprint != ""


def test_other_code_that_asks_for_the_same_goes_on_and_is_recorded(app, life):
    begin(life, app)
    edit(app, 'note(folder, f"{first} {go.far}")', 'note(folder, f"{first}, {go.far} miles")')
    with life() as orchestrator:
        go(orchestrator)
        run = orchestrator.get("r")
        assert run.result(30) == "first, 7 miles"
        events = [stored.event for stored in run.events()]
    assert log(app) == ["first", "first, 7 miles"]
    (adopted,) = [event for event in events if isinstance(event, CodeAdopted)]
    assert isinstance(events[0], RunStarted)
    assert adopted.fingerprint != events[0].fingerprint


def test_code_that_asks_for_something_else_parks_the_run_until_it_is_mended(app, life):
    begin(life, app)
    edit(app, 'note(folder, "first")', 'note(folder, "begin")')
    line = 1 + app.read_text().splitlines().index('    first = await note(folder, "begin")')
    with life() as orchestrator:
        run = orchestrator.get("r")
        before = len(list(run.events()))
        go(orchestrator)
        eventually(lambda: run.status == "parked", what="the park")
        with pytest.raises(RunParked, match="its code has changed"):
            run.result(5)
        events = [stored.event for stored in run.events()][before:]
    assert [event.type for event in events] == ["message.received", "message.taken", "program.started", "run.parked"]
    parked = events[-1]
    assert isinstance(parked, Parked)
    assert parked.difference is not None
    assert parked.difference.kind == "arguments"
    assert parked.difference.asked[0].place == f"{app}:{line}"
    assert 'args[1] was "first" and is "begin"' in parked.reason
    assert f"{app}:{line}" in parked.reason
    assert log(app) == ["first"]
    with life() as orchestrator:  # nobody has looked at it yet
        assert orchestrator.get("r").status == "parked"
    edit(app, 'note(folder, "begin")', 'note(folder, "first")')
    with life() as orchestrator:
        run = orchestrator.get("r")
        run.resume()
        assert run.result(30) == "first 7"
    assert log(app) == ["first", "first 7"]


def test_a_step_that_comes_in_between_is_found_before_it_runs(app, life):
    begin(life, app)
    edit(
        app,
        '    go = await receive(Go)\n    return await note(folder, f"{first}',
        '    await note(folder, "second")\n    go = await receive(Go)\n    return await note(folder, f"{first}',
    )
    with life() as orchestrator:
        go(orchestrator)
        run = orchestrator.get("r")
        eventually(lambda: run.status == "parked", what="the park")
        assert "note#2" in run.record.reason
    assert log(app) == ["first"]


def test_a_child_keeps_its_own_code_and_is_parked_by_itself(app, life):
    begin(life, app, "parent")
    edit(
        app,
        '    go = await receive(Go)\n    return await note(folder, f"child',
        '    await other(folder)\n    go = await receive(Go)\n    return await note(folder, f"child',
    )
    with life() as orchestrator:
        go(orchestrator, "r~1")
        eventually(lambda: orchestrator.get("r~1").status == "parked", what="the child's park")
        assert orchestrator.get("r").status in {"waiting", "running"}
    edit(app, "    await other(folder)\n", "")
    with life() as orchestrator:
        orchestrator.get("r~1").resume()
        assert orchestrator.get("r").result(30) == "child 7"


NEWER = """

@workflow(name="trip", version=2)
async def trip_by_boat(folder: str, boat: str = "otter") -> str:
    return await note(folder, f"by {boat}")
"""


def test_versions_run_side_by_side_and_new_runs_take_the_newest(app, life):
    begin(life, app)
    app.write_text(app.read_text() + NEWER)
    with life() as orchestrator:
        new = orchestrator.start_app(str(app), "trip", {"folder": str(app.parent)}, id="new")
        assert new.result(30) == "by otter"
        started = next(iter(new.events())).event
        assert isinstance(started, RunStarted)
        assert started.version == 2
        again = orchestrator.start_app(str(app), "trip", {"folder": str(app.parent)}, id="r")
        go(orchestrator)
        assert again.result(30) == "first 7"
    assert log(app) == ["first", "by otter", "first 7"]


def test_a_run_whose_version_is_gone_is_parked_and_says_so(app, life):
    begin(life, app)
    text = app.read_text()
    edit(app, "@workflow\nasync def trip(", "@workflow(version=2)\nasync def trip(")
    with life() as orchestrator:
        go(orchestrator)
        run = orchestrator.get("r")
        eventually(lambda: run.status == "parked", what="the park")
        assert "version 1 of workflow `trip` is not defined any more, there is version 2" in run.record.reason
    app.write_text(text)
    with life() as orchestrator:
        run = orchestrator.get("r")
        run.resume()
        assert run.result(30) == "first 7"


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ('writer("Write.")', 'writer("Write more.")', 'conversation[1].text was "Write." and is "Write more."'),
        ("[other]", "[other, note]", "conversation[0].tools was"),
        (
            "def other(folder",
            "def other(place",
            'conversation[0].tools[0].parameters.required[0] was "folder" and is "place"',
        ),
    ],
)
def test_what_an_agent_is_told_otherwise_is_named(app, life, old, new, change):
    begin(life, app, "letter")
    edit(app, old, new)
    with life() as orchestrator:
        run = orchestrator.get("r")
        go(orchestrator)
        with pytest.raises(RunParked) as caught:
            run.result(30)
        assert change in str(caught.value)
        (parked,) = [stored.event for stored in run.events() if isinstance(stored.event, Parked)]
    assert parked.difference is not None
    assert parked.difference.asked[0].transcript is None
