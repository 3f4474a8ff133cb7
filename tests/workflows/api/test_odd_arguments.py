"""Public methods refuse arguments of other types in their own words, whichever argument and whatever it is."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import BaseModel, ValidationError

from greenroom import GreenroomError, InvalidInput, Orchestrator, RunNotFound, session, workflow
from greenroom.messages.commands import CancelRun
from tests.support import ROOT


class State(BaseModel):
    """The state of a session."""

    count: int = 0


class Add(BaseModel):
    """A message to it."""

    number: int


@workflow
async def nothing() -> None:
    """Return at once."""


@session(state=State)
async def counter(state: State, message: Add) -> int:
    """Count."""
    state.count += message.number
    return state.count


ODD: Final = (None, 1, -1, True, float("nan"), "", "x", "\0", "\ud800", b"x", [], {}, object(), int, 2**70)
MUTE: Final = {"close", "result", "events", "stream", "logs", "updates", "follow", "actors"}
"""Methods that wait, end what the others need, or give an iterator."""
OURS: Final = (AssertionError, AttributeError, KeyError, IndexError, UnicodeError, RecursionError, ValidationError)
"""Errors that say nothing to those who call a method; each would come from within."""


def documented(thing: object) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public methods of an object that the pages name."""
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    for name, method in inspect.getmembers(thing, inspect.ismethod):
        if not name.startswith("_") and name not in MUTE and f".{name}(" in pages:
            yield name, method


def calls(method: Callable[..., Any], usual: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield calls of a method, in each of which one argument is odd, with the name of that argument."""
    parameters = inspect.signature(method).parameters.values()
    named = [each for each in parameters if each.kind in {each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY}]
    needed = {each.name: usual.get(each.name, "x") for each in named if each.default is each.empty}
    for each in named:
        for odd in ODD:
            yield each.name, needed | {each.name: odd}


def test_odd_arguments_are_refused_in_our_words(tmp_path: Path) -> None:
    with Orchestrator(tmp_path / "journal.db", home=tmp_path / "home") as orchestrator:
        run = orchestrator.start(nothing, id="run")
        run.result(60)
        talk = orchestrator.session(counter, "key")
        assert talk.ask(Add(number=1), timeout=60) == 1
        usual = {"workflow": nothing, "handler": counter, "message": Add(number=1), "run_id": "run", "key": "key"}
        found = refused = 0
        for thing in (orchestrator, run, talk):
            for name, method in documented(thing):
                for argument, given in calls(method, usual):
                    try:
                        method(**given)
                    except OURS as error:
                        if not isinstance(error, GreenroomError):
                            pytest.fail(f"{name}({argument}={given[argument]!r:.40}) raises {error!r:.200}")
                        refused += 1
                    except (GreenroomError, TypeError, ValueError, LookupError, OSError) as error:
                        if "Value error" in str(error):
                            pytest.fail(f"{name}({argument}={given[argument]!r:.40}) speaks of pydantic: {error}")
                        refused += 1
                    found += 1
        assert found > 300, "the methods were found"
        assert refused > found / 2
        assert run.status == "completed"


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with Orchestrator(tmp_path / "journal.db", home=tmp_path / "home") as orchestrator:
        run = orchestrator.start(nothing, id="run")
        run.result(60)
        with pytest.raises(TypeError, match=r"the id of a run is a str, not <.*run"):
            orchestrator.get(run)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="reason: Input should be a valid string, not 5"):
            run.cancel(5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"send\(\) takes a command .* not 'stop'"):
            orchestrator.send("stop")  # type: ignore[arg-type]
        orchestrator.send(CancelRun(run_id="run"))
        with pytest.raises(TypeError, match="must be a mapping, not list"):
            orchestrator.start_app(__file__, "nothing", ["x"])  # type: ignore[arg-type]
        with pytest.raises(RunNotFound):
            orchestrator.get("rum")
        assert orchestrator.start_app(Path(__file__), "nothing").result(60) is None
