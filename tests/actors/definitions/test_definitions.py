import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from greenroom.actors.app import loader
from greenroom.actors.definitions import registry
from greenroom.actors.definitions.registry import find_workflow, lookup
from greenroom.actors.definitions.value_check import check_arguments
from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.failures import Fault
from greenroom.workflows.authoring.decorators import evaluator, tool, workflow
from greenroom.workflows.authoring.llm import LLM
from tests.support import ROOT

WriteApp = Callable[..., Path]

APP = """
    from pydantic import BaseModel
    from greenroom import LLM, evaluator, tool, workflow

    class Progress(BaseModel):
        done: int = 0

    @tool(memory_mb=64, env=("TOKEN",))
    def search(query: str, limit: int = 3) -> list[str]:
        '''Find things.

        At length.
        '''
        return [query] * limit

    @evaluator
    def concise(text: str) -> bool:
        return len(text) < 100

    writer = LLM("writer", accept=[concise])

    @workflow
    async def research(state: Progress, topic: str, n: int = 2) -> str:
        return topic * n
"""


@tool
def here(x: int) -> int:
    return x


def test_a_script_and_a_worker_know_a_definition_by_the_same_reference_and_app(write_app: WriteApp) -> None:
    path = write_app(APP + "\n    print(search.definition.ref, search.definition.app, writer.definition.ref)\n")
    script = subprocess.run(
        [sys.executable, str(path)], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    load = f"from greenroom.actors.app.loader import load; load({str(path)!r})"
    worker = subprocess.run([sys.executable, "-c", load], cwd=ROOT, capture_output=True, text=True, check=True)
    assert script.stdout == worker.stdout == f"app:search {path} app:LLM.writer\n"


def test_a_module_in_a_package_goes_by_its_dotted_name(write_app: WriteApp) -> None:
    write_app("", "package/__init__.py")
    text = "from greenroom import tool\n@tool\ndef f() -> None: ...\nprint(f.definition.ref, f.definition.app)"
    root = write_app(text, "package/steps.py").parent.parent
    for command in (["-c", "import package.steps"], ["-m", "package.steps"]):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=root,
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "package.steps:f package.steps\n"


def test_a_definition_inside_a_function_says_so_only_when_a_worker_would_need_it() -> None:
    @tool
    def local() -> None: ...

    made = LLM("made")
    for step, title in ((local, "tool `local`"), (made, "LLM `made`")):
        with pytest.raises(DefinitionError, match=f"{title} is defined inside a function, .* top level of a file"):
            _ = step.definition.app


def test_a_definition_at_a_prompt_says_so() -> None:
    text = "from greenroom import tool\n@tool\ndef f() -> None: ...\nf.definition.app"
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "tool `f` is defined at an interactive prompt" in done.stderr
    assert "where no worker can find it: write it in a file, and import it from there" in done.stderr


def test_a_method_is_refused_where_it_is_decorated() -> None:
    with pytest.raises(DefinitionError, match=r"Shop\.price is a method, and a worker has no object to call it on"):

        class Shop:
            @tool
            def price(self, item: str) -> int:
                return len(item)

    with pytest.raises(DefinitionError, match=r"Stock\.count is a method"):

        class Stock:
            @classmethod
            @tool
            def count(cls, item: str) -> int:
                return len(item)

    class Prices:
        @staticmethod
        @tool
        def plain(item: str) -> int:
            return len(item)

        @tool
        def given(self: str) -> int:
            return len(self)

    assert Prices.plain.fn("ink") == Prices.given.fn("ink") == 3


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("app.py", None),
        ("app", None),
        ("app.txt", "in {}, whose name does not end in .py"),
        ("pipe", "at an interactive"),
    ],
)
def test_a_script_is_where_workers_find_it_or_says_why_not(tmp_path: Path, name: str, place: str | None) -> None:
    path, text = tmp_path / name, b"from greenroom import tool\n@tool\ndef f() -> None: ...\nprint(f.definition.app)"
    reading, writing = os.pipe()
    os.write(writing, text)
    os.close(writing)
    if name == "pipe":
        path = Path(f"/dev/fd/{reading}")  # as from `python <(...)` in a shell
    else:
        path.write_bytes(text)
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        check=False,
        pass_fds=[reading],
        capture_output=True,
        text=True,
    )
    os.close(reading)
    if place is None:
        assert done.stdout == f"{path}\n"
    else:
        assert f"tool `f` is defined {place.format(path)}" in done.stderr


@pytest.mark.usefixtures("fresh")
def test_two_definitions_of_one_name_in_one_file_are_refused(write_app: WriteApp) -> None:
    path = write_app("""
        from greenroom import LLM
        first = LLM("writer")
        second = LLM("writer", output=int)
    """)
    with pytest.raises(
        DefinitionError, match=r"defines LLM `writer` in line 3 and LLM `writer` in line 4 under one name"
    ):
        loader.load(str(path))


@pytest.mark.usefixtures("fresh")
def test_importing_a_file_twice_is_no_second_definition(write_app: WriteApp) -> None:
    path = write_app(APP)
    loader.load(str(path))
    first = lookup("app:search")
    del sys.modules["app"]
    loader.load(str(path))
    assert lookup("app:search") is not first


def test_an_unknown_reference_or_workflow_gets_a_suggestion() -> None:
    with pytest.raises(DefinitionError, match="no definition is known as .*:hre; did you mean `.*:here`?"):
        lookup(here.definition.ref.replace(":here", ":hre"))

    @workflow(name="a workflow of this test")
    async def unused() -> None: ...

    with pytest.raises(DefinitionError, match="did you mean `a workflow of this test`"):
        find_workflow("a workflow of this tset")


@pytest.mark.usefixtures("fresh")
def test_the_registry_can_be_emptied(write_app: WriteApp) -> None:
    loader.load(str(write_app(APP)))
    assert {definition.ref for definition in registry.all_definitions()} == {
        "app:search",
        "app:concise",
        "app:LLM.writer",
        "app:research",
    }
    registry.reset()
    assert registry.all_definitions() == ()


@pytest.mark.usefixtures("fresh")
def test_a_manifest_tells_what_an_app_defines(write_app: WriteApp) -> None:
    loader.load(str(write_app(APP)))
    search, concise, writer, research = loader.describe()
    assert (search.kind, search.pool, search.doc, search.parameters) == (
        "tool",
        "tool:search",
        "Find things.",
        ("query", "limit"),
    )
    assert search.limits is not None
    assert (search.limits.memory_mb, search.limits.env) == (64, ("TOKEN",))
    assert (concise.kind, concise.pool, concise.limits) == ("evaluator", "", None)
    assert (writer.kind, writer.name, writer.parameters) == ("llm", "writer", ("prompt",))
    assert (research.kind, research.parameters) == ("workflow", ("topic", "n"))


@pytest.mark.usefixtures("fresh")
def test_arguments_are_checked_without_running_anything(write_app: WriteApp) -> None:
    loader.load(str(write_app(APP)))
    good = check_arguments("1", "research", {"topic": "otters", "n": "3"})
    assert (good.id, good.arguments, good.faults, good.unknown_workflow) == (
        "1",
        {"topic": "otters", "n": 3},
        (),
        False,
    )
    bad = check_arguments("2", "research", {"n": []})
    assert bad.faults == (
        Fault(field="topic", sentence="is missing"),
        Fault(field="n", sentence="Input should be a valid integer"),
    )
    lost = check_arguments("3", "reserch", {})
    assert lost.unknown_workflow
    assert lost.faults == (
        Fault(field="workflow", sentence="no workflow is called `reserch`; did you mean `research`?"),
    )


class Seed(BaseModel):
    count: int = 0


def test_a_workflow_without_state_begins_with_none() -> None:
    @workflow
    async def stateless(topic: str) -> str:
        return topic

    @workflow
    async def american(state: str) -> str:
        return state

    assert stateless.definition.fresh_state() is None
    assert american.definition.fresh_state() is None
    assert american.bind("Ohio") == {"state": "Ohio"}


def test_each_run_gets_a_state_of_its_own() -> None:
    @workflow
    async def stateful(state: Seed, n: int) -> int:
        state.count += n
        return state.count

    one, two = stateful.definition.fresh_state(), stateful.definition.fresh_state()
    assert one == Seed()
    assert one is not two
    call = stateful.call({"n": 2}, one)
    with pytest.raises(StopIteration) as end:
        call.send(None)
    assert end.value.value == 2
    assert (one, two) == (Seed(count=2), Seed(count=0))


def test_an_evaluator_takes_one_or_two_parameters() -> None:
    with pytest.raises(DefinitionError, match="evaluator `three` takes the result, and maybe the arguments"):

        @evaluator
        def three(a: int, b: int, c: int) -> bool:
            return bool(a + b + c)
