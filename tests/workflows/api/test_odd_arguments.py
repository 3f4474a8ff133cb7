"""Public methods refuse arguments of other types in their own words, whichever argument and whatever it is."""

import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import BaseModel, JsonValue, ValidationError

from greenroom import (
    Client,
    GreenroomError,
    InvalidInput,
    Orchestrator,
    RunNotFound,
    approve,
    receive,
    session,
    workflow,
)
from greenroom.dashboard.server import Server
from greenroom.messages.commands import CancelRun, Command, Refused, SignalRun, TellSession
from greenroom.messages.core.message import Message
from greenroom.messages.refusals import check_command
from tests.messages.drawing import members
from tests.support import ROOT, eventually


class State(BaseModel):
    """The state of a session."""

    count: int = 0


class Add(BaseModel):
    """A message to it."""

    number: int


@workflow
async def nothing() -> None:
    """Return at once."""


@workflow
async def asking() -> str:
    """Return who approved it."""
    return (await approve("end")).by


class Many(BaseModel):
    """A long message."""

    numbers: list[int]


@workflow
async def added(numbers: list[int]) -> int:
    """Add what is given to what comes."""
    return sum(numbers) + sum((await receive(Many)).numbers)


@session(state=State)
async def adding(state: State, message: Many | Add) -> int:
    """Return the sum."""
    return sum(message.numbers) if isinstance(message, Many) else 0


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
FOREIGN: Final = ("Value error", "quote_from_bytes", "at this path")
"""Words of errors that speak of pydantic, of urllib or of the paths of a server."""


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


def call_with_odd_arguments(helm: Orchestrator | Client) -> None:
    """Call every method of an orchestrator or a client, and of a run and a session of it, with odd arguments."""
    run = helm.start(nothing, id="run")
    run.result(60)
    talk = helm.session(counter, "key")
    assert talk.ask(Add(number=1), timeout=60) == 1
    usual = {"workflow": nothing, "handler": counter, "message": Add(number=1), "run_id": "run", "key": "key"}
    found = refused = 0
    for thing in (helm, run, talk):
        for name, method in documented(thing):
            for argument, given in calls(method, usual):
                try:
                    method(**given)
                except OURS as error:
                    if not isinstance(error, GreenroomError):
                        pytest.fail(f"{name}({argument}={given[argument]!r:.40}) raises {error!r:.200}")
                    refused += 1
                except (GreenroomError, TypeError, ValueError, LookupError, OSError) as error:
                    if any(word in str(error) for word in FOREIGN):
                        pytest.fail(f"{name}({argument}={given[argument]!r:.40}) speaks of what is within: {error}")
                    refused += 1
                found += 1
    assert found > 300, "the methods were found"
    assert refused > found / 2
    assert run.status == "completed"


def test_odd_arguments_are_refused_in_our_words(tmp_path: Path) -> None:
    with Orchestrator(tmp_path / "journal.db", home=tmp_path / "home") as orchestrator:
        call_with_odd_arguments(orchestrator)


@pytest.mark.slow
def test_a_client_refuses_odd_arguments_in_our_words_as_well(home: Path) -> None:
    with Orchestrator() as orchestrator, Server(orchestrator, [__file__], port=0), Client() as client:
        call_with_odd_arguments(client)


def test_half_a_surrogate_pair_in_a_command_harms_nothing(tmp_path: Path) -> None:
    """A file name or an argument that is no UTF-8 holds one; written into a journal, it took other events along."""
    half = os.fsdecode(b"\xff")
    with Orchestrator(tmp_path / "journal.db", home=tmp_path / "home") as orchestrator:
        run = orchestrator.start(asking, id="run")
        (asked,) = eventually(orchestrator.approvals)
        talk = orchestrator.session(counter, "key")
        refused: list[Callable[[], object]] = [
            lambda: run.signal(Add(number=2), key=half),
            lambda: run.pause(half),
            lambda: run.cancel(half),
            lambda: run.fork(at=half),
            lambda: orchestrator.decide(asked.id, "approve", comment=half),
            lambda: orchestrator.decide(asked.id, "approve", by=half),
            lambda: talk.tell(Add(number=1), key=half),
            lambda: talk.ask(Add(number=1), key=half),
            lambda: talk.cancel_turn(half),
            lambda: orchestrator.start_app(half, "nothing"),
            lambda: orchestrator.start_app(__file__, "nothing", {half: 1}),
            lambda: orchestrator.send(SignalRun(run_id="run", name="Add", value={"number": 2}, key=half)),
        ]
        for call in refused:
            with pytest.raises(InvalidInput, match="not a character"):
                call()
        assert talk.ask(Add(number=1), timeout=60) == 1
        orchestrator.decide(asked.id, "approve", by="ada")
        assert run.result(60) == "ada"


@pytest.mark.parametrize("command", members(Command), ids=lambda command: command.__name__)
def test_no_text_of_any_command_may_hold_half_a_surrogate_pair(command: type[Message]) -> None:
    texts = [name for name, field in command.model_fields.items() if field.annotation in {str, str | None}]
    for name in texts:
        with pytest.raises(InvalidInput, match=name):
            check_command(command.model_construct(**{name: "\ud800"}))


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


def test_a_long_list_in_which_every_item_is_wrong_is_refused_by_its_first_ones(tmp_path: Path) -> None:
    """All faults together are too long for a message of a worker."""
    wrong: list[JsonValue] = ["x"] * 200_000
    with Orchestrator(tmp_path / "journal.db", home=tmp_path / "home") as orchestrator:
        with pytest.raises(InvalidInput, match=r"numbers\.0: .*and 199980 more"):
            orchestrator.start_app(__file__, "added", {"numbers": wrong})
        with pytest.raises(InvalidInput, match=r"other0: is not a parameter; .*; and 980 more are no parameters"):
            orchestrator.start_app(__file__, "added", {"numbers": [1], **{f"other{each}": 1 for each in range(1000)}})
        run = orchestrator.start(added, [1], id="run")
        # Refused at once, or, where no worker had the time to check it, set aside by the program that takes it.
        orchestrator.send(SignalRun(run_id="run", name="Many", value={"numbers": wrong}))
        told = TellSession(app=__file__, session="adding", session_key="key", name="Many", value={"numbers": wrong})
        refused = orchestrator.send(told)
        assert isinstance(refused, Refused)
        assert "numbers.0" in refused.message
        run.signal(Many(numbers=[2]))
        assert run.result(60) == 3
