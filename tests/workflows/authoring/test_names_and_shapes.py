"""Authors' parameters may be called like ours, their annotations may come later, and what yields gives a list."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from greenroom import DefinitionError, Orchestrator, run, session, tool, workflow
from tests.acceptance.apps.contract import shapes

# ---------------------------------------------------------------- names

EVERY = {
    name: f"the {name}"
    for name in (
        "workflow",
        "self",
        "args",
        "kwargs",
        "message",
        "key",
        "timeout",
        "name",
        "fn",
        "arguments",
        "options",
    )
}


def test_parameters_may_be_called_like_ours(orchestrator: Orchestrator) -> None:
    assert orchestrator.start(shapes.named, **EVERY).result(timeout=60) == EVERY
    with_id = orchestrator.start(shapes.with_id, 5, id="run-5")
    assert (with_id.id, with_id.result(timeout=60)) == ("run-5", 5)
    assert orchestrator.start(shapes.parent_of_named, EVERY).result(timeout=60) == [EVERY, 7, 8]
    assert asyncio.run(shapes.named(**EVERY)) == EVERY


@pytest.mark.parametrize("given", [(), ("by position",)])
def test_an_id_that_could_be_either_is_refused_with_the_way_out(orchestrator: Orchestrator, given: tuple) -> None:
    if given:
        assert orchestrator.start(shapes.with_id, 1, id="one").id == "one"
        return
    with pytest.raises(
        TypeError, match=r"`id` is an option of start\(\) and a parameter of workflow `with_id`.*by pos"
    ):
        orchestrator.start(shapes.with_id, id="one")
    assert orchestrator.runs() == []


def test_a_schedule_tells_its_options_from_parameters(orchestrator: Orchestrator) -> None:
    with pytest.raises(TypeError, match=r"`timezone` is an option of schedule\(\)"):
        orchestrator.schedule("hourly", shapes.with_timezone, every=3600, timezone="Europe/Berlin")
    made = orchestrator.schedule("hourly", shapes.with_timezone, "UTC", cron="0 * * * *", timezone="Europe/Berlin")
    assert made.name == "hourly"


def test_run_gives_a_workflow_its_own_id(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(shapes.with_id, id=9) == 9


@pytest.mark.parametrize("env", ["TOKEN=x", ["TOKEN=x"], {"TOKEN": "x"}])
def test_a_tool_is_given_variables_by_name_alone(env: Any) -> None:
    with pytest.raises(DefinitionError, match=r"limits\.env"):

        @tool(env=env)
        def paid() -> int:
            return 1


# ---------------------------------------------------------------- annotations


def test_a_session_looks_its_annotations_up_as_late_as_a_workflow() -> None:
    @session
    async def chat(state: "Talk", message: "Word | Pause") -> "Answer":
        return Answer()

    @session
    async def partly(state: Known, message: "Word") -> "Answer":
        return Answer()

    @workflow
    async def flow(state: Known, word: "Word") -> "Answer":
        return Answer()

    assert (chat.name, partly.name, flow.name) == ("chat", "partly", "flow")


def test_what_is_known_to_be_wrong_already_is_refused_at_once() -> None:
    class Needy(BaseModel):
        word: str

    for decorate in (session, workflow):
        with pytest.raises(DefinitionError, match="Needy has none for `word`"):

            @decorate  # type: ignore[operator]
            async def chat(state: Needy, message: "Later") -> None: ...  # type: ignore[name-defined]  # noqa: F821


def test_a_session_whose_models_come_later_answers(orchestrator: Orchestrator) -> None:
    handle = orchestrator.session(shapes.talk, "one")
    assert handle.ask(shapes.Word(text="hello"), timeout=60).heard == ["hello"]


class Known(BaseModel):
    count: int = 0


class Talk(BaseModel):
    heard: list[str] = []


class Word(BaseModel):
    text: str


class Pause(BaseModel):
    seconds: float


class Answer(BaseModel):
    text: str = ""


# ---------------------------------------------------------------- generators


def test_what_yields_gives_the_list_of_it(orchestrator: Orchestrator) -> None:
    assert orchestrator.start(shapes.counting).result(timeout=60) == [[0, 1, 2]] * 4
    assert asyncio.run(in_place()) == [[0, 1, 2]] * 4


async def in_place() -> list[Any]:
    return [await step(3) for step in (shapes.count, shapes.count_soon, shapes.count_plainly, shapes.count_bare)]


@pytest.mark.parametrize("decorate", [workflow, session])
def test_what_has_one_result_cannot_yield(decorate: Any) -> None:
    with pytest.raises(DefinitionError, match=r"yields, and what calls it waits for one result: return it, and `emit"):

        @decorate
        async def many(state: Known, message: Word) -> AsyncIterator[int]:
            yield 1


def test_an_asynchronous_generator_that_raises_fails_its_step(orchestrator: Orchestrator) -> None:
    with pytest.raises(Exception, match="no more than 1"):
        orchestrator.start(shapes.counting_badly).result(timeout=60)


def test_what_is_returned_as_an_iterator_is_still_refused() -> None:
    @tool
    def given() -> Iterator[int]:
        return iter([1])

    with pytest.raises(DefinitionError, match="use a pydantic model, a dataclass or a built-in type"):
        given.definition.prepare()


def test_items_are_checked_by_their_annotation() -> None:
    @tool
    async def words() -> AsyncIterator[int]:
        yield 1

    assert words.definition.signature.result.schema == {"items": {"type": "integer"}, "type": "array"}
