"""Definitions that functions make at the top level of a file, and those that no import would make again."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from greenroom.actors.app import loader
from greenroom.actors.definitions import registry
from greenroom.actors.definitions.definition_site import module_of
from greenroom.messages.core.errors import DefinitionError
from tests.support import ROOT

WriteApp = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("fresh")

MAKERS = """
    from greenroom import LLM, evaluator, tool, workflow

    def llm(name, **options):
        return LLM(name, **options)

    def a_tool(name):
        def inner(x: int) -> str:
            return f"{name} {x}"
        return tool(name=name)(inner)

    def a_flow(name, step):
        @workflow(name=name)
        async def body(x: int) -> str:
            return await step(x)
        return body

    def a_judge(least):
        return evaluator(name=f"longer_than_{least}")(lambda text: len(text) > least)
"""


def refs() -> set[str]:
    return {definition.ref for definition in registry.all_definitions()}


def test_what_functions_make_at_the_top_level_goes_by_the_file_and_the_names_it_was_given(write_app: WriteApp) -> None:
    write_app(MAKERS, "makers.py")
    path = write_app("""
        from makers import a_flow, a_judge, a_tool, llm
        from greenroom import LLM

        def here(name):
            return LLM(name)

        one = llm("one")
        several = [here(name) for name in ("two", "three")]
        by_name = {name: LLM(name) for name in ("four", "five")}
        given = tuple(map(llm, ("six",)))
        tools = [a_tool(name) for name in ("red", "blue")]
        flow = a_flow("flow", tools[0])
        judges = [a_judge(least) for least in (3, 5)]
    """)
    loader.preload(str(path))
    assert refs() == {
        *(f"app:LLM.{name}" for name in ("one", "two", "three", "four", "five", "six")),
        *(f"app:a_tool.<locals>.inner[{name}]" for name in ("red", "blue")),
        "app:a_flow.<locals>.body[flow]",
        *(f"app:a_judge.<locals>.<lambda>[longer_than_{least}]" for least in (3, 5)),
    }
    flow = registry.find_workflow("flow")
    assert flow.app == str(path), "and that is what workers load"
    blue = registry.lookup("app:a_tool.<locals>.inner[blue]")
    assert blue.fn(3) == "blue 3"


def test_one_function_may_be_several_steps_with_names_of_their_own(write_app: WriteApp) -> None:
    write_app("def look(x: int) -> int:\n    return x\n\nasync def go() -> int:\n    return 1\n", "library.py")
    path = write_app("""
        from library import go, look
        from greenroom import tool, workflow

        plain = tool(look)
        fast, slow = (tool(name=name, timeout=limit)(look) for name, limit in (("fast", 1), ("slow", 9)))
        for number in (1, 2):
            @tool(name=f"counted_{number}")
            def counted(x: int, number: int = number) -> int:
                return x * number
        flow = workflow(name="renamed")(go)
    """)
    loader.preload(str(path))
    assert refs() == {
        *("library:look", "library:look[fast]", "library:look[slow]"),
        *("app:counted", "app:counted[counted_2]"),
        "app:go",
    }
    assert registry.lookup("app:counted[counted_2]").fn(4) == 8
    assert registry.find_workflow("renamed").app == str(path)


@pytest.mark.parametrize(
    "line",
    [
        'models = [LLM("a", model=model) for model in ("mock", None)]',
        'tools = [tool(name="same")(lambda x, y=y: x + y) for y in (1, 2)]',
        'tools = [make() for _ in "ab"]',
    ],
)
def test_two_of_one_name_in_one_line_are_refused_where_they_are_made(write_app: WriteApp, line: str) -> None:
    path = write_app(f"""
        from greenroom import LLM, tool

        def make():
            @tool
            def inner() -> int:
                return 1
            return inner

        {line}
    """)
    with pytest.raises(DefinitionError, match=r"more than once in line 10, .* give each a name of its own"):
        loader.preload(str(path))


def test_a_module_that_is_imported_again_defines_the_same_again(write_app: WriteApp) -> None:
    write_app('from greenroom import LLM\nmodels = [LLM(name) for name in "ab"]\n', "again.py")
    path = write_app("import importlib, again\nimportlib.reload(again)\nimportlib.reload(again)\n")
    loader.preload(str(path))
    assert refs() == {"again:LLM.a", "again:LLM.b"}


def test_what_a_function_makes_later_is_not_to_be_found(write_app: WriteApp) -> None:
    path = write_app("""
        from greenroom import LLM, workflow

        def late():
            @workflow
            async def inner() -> int:
                return 1
            return inner, LLM("late")
    """)
    loader.preload(str(path))
    for made in sys.modules["app"].late():
        with pytest.raises(DefinitionError, match="defined inside a function, where no worker can find it"):
            _ = made.definition.app


SCRIPT = """
import asyncio

from makers import a_flow, a_tool
from greenroom import LLM, DefinitionError, workflow

flow = a_flow("flow", a_tool("red"))


@workflow
async def plain() -> int:
    return 1


def main():
    @workflow
    async def inner() -> int:
        return 1

    for made in (flow, plain, inner, LLM("late")):
        try:
            print(made.definition.ref, made.definition.app.rpartition("/")[2])
        except DefinitionError as error:
            print(error)


if __name__ == "__main__":
    main()
"""


def test_a_script_knows_what_its_import_would_leave_out(write_app: WriteApp) -> None:
    write_app(MAKERS, "makers.py")
    path = write_app(SCRIPT, "script.py")
    command = [sys.executable, str(path)]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second, third, fourth = done.stdout.splitlines()
    assert first == "script:a_flow.<locals>.body[flow] script.py"
    assert second == "script:plain script.py"
    assert third.startswith('workflow `inner` is defined under `if __name__ == "__main__"`, where no worker can find')
    assert fourth.startswith('LLM `late` is defined under `if __name__ == "__main__"`, where no worker can find')


# ---------------------------------------------------------------- packages


def test_the_name_of_a_file_follows_from_its_packages(tmp_path: Path) -> None:
    for folder in ("a", "a/b", "c-d", "c-d/e"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    assert module_of(tmp_path / "a" / "b" / "x.py") == (tmp_path, "a.b.x")
    assert module_of(tmp_path / "a" / "__init__.py") == (tmp_path, "a")
    assert module_of(tmp_path / "x.py") == (tmp_path, "x")
    assert module_of(tmp_path / "c-d" / "e" / "x.py") == (tmp_path / "c-d", "e.x"), "no import could name c-d"
    assert module_of(tmp_path / "a" / "my-x.py") == (tmp_path / "a", "my-x")


def test_a_file_of_a_package_is_imported_as_its_module_once(write_app: WriteApp) -> None:
    write_app("from .flows import a\n", "bundle/__init__.py")
    write_app("from greenroom import tool\n@tool\ndef b() -> int:\n    return 1\n", "bundle/inner/more.py")
    write_app("", "bundle/inner/__init__.py")
    path = write_app(
        "from .inner.more import b\nfrom greenroom import tool\n@tool\ndef a() -> int:\n    return 1\n",
        "bundle/flows.py",
    )
    loader.preload(str(path))
    loader.preload(str(path.parent / "__init__.py"))
    assert refs() == {"bundle.flows:a", "bundle.inner.more:b"}
    assert registry.lookup("flows:a").ref == "bundle.flows:a", "as journals of earlier days call it"


def test_a_package_may_have_the_name_of_a_module_that_others_use(write_app: WriteApp) -> None:
    write_app("", "email/__init__.py")
    write_app("ONE = 1\n", "email/helper_of_mine.py")
    text = "import helper_of_mine\nfrom greenroom import tool\n@tool\ndef a() -> int:\n    return 1\n"
    loader.preload(str(write_app(text, "email/flows.py")))
    assert refs() == {"email.flows:a"}
    assert "flows" in sys.modules


def test_a_script_may_have_dots_in_its_name_and_belongs_to_no_package_for_that(write_app: WriteApp) -> None:
    text = "from greenroom import tool\n@tool\ndef a() -> int:\n    return 1\n"
    loader.preload(str(write_app(text, "my-app.v2.py")))
    loader.preload(str(write_app(text, "bundle/flows.v2.py")))
    assert refs() == {"my-app.v2:a", "flows.v2:a"}
