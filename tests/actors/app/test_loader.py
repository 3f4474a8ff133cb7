import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from greenroom.actors.app import importing, loader
from greenroom.actors.definitions import registry
from greenroom.messages.core.errors import DefinitionError
from tests.support import ROOT

WriteApp = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("fresh")


def refs() -> set[str]:
    return {definition.ref for definition in registry.all_definitions()}


def test_a_file_is_imported_with_the_files_beside_it(write_app: WriteApp) -> None:
    write_app("from greenroom import tool\n@tool\ndef help_out() -> int:\n    return 1\n", "beside.py")
    path = write_app("""
        from dataclasses import dataclass
        from beside import help_out
        from greenroom import tool

        @dataclass
        class Thing:
            part: "Thing | None" = None

        @tool
        def use(thing: Thing) -> Thing:
            return thing
    """)
    loader.preload(str(path))
    assert refs() == {"beside:help_out", "app:use"}
    assert importing.loading is False


def test_a_file_may_have_the_name_of_a_module_that_others_use(write_app: WriteApp) -> None:
    text = "from greenroom import tool\n@tool\ndef f() -> int:\n    return 1\n"
    for name in ("json.py", "click.py", "my-app.py"):
        loader.preload(str(write_app(text, name)))
    assert refs() == {"json:f", "click:f", "my-app:f"}
    assert sys.modules["json"].__name__ == "json"
    assert sys.modules["json"].__file__ != str(write_app(text, "json.py"))


def test_a_dotted_name_is_imported_as_a_module(write_app: WriteApp, monkeypatch: pytest.MonkeyPatch) -> None:
    write_app("", "shop/__init__.py")
    path = write_app("from greenroom import tool\n@tool\ndef f() -> int:\n    return 1\n", "shop/tools.py")
    monkeypatch.syspath_prepend(str(path.parent.parent))
    loader.preload("shop.tools")
    assert refs() == {"shop.tools:f"}


def test_a_script_that_starts_an_orchestrator_is_imported_up_to_there(write_app: WriteApp, tmp_path: Path) -> None:
    path = write_app("""
        from greenroom import Orchestrator, workflow

        @workflow
        async def first() -> int:
            return 1

        with Orchestrator("runs.db") as orchestrator:
            print(orchestrator.start(first).result())

        @workflow
        async def second() -> int:
            return 2
    """)
    loader.preload(str(path))
    assert refs() == {"app:first"}
    assert list(tmp_path.glob("*.db")) == []


def test_the_end_of_an_import_passes_through_exception_handlers_and_loops(write_app: WriteApp) -> None:
    path = write_app("""
        import asyncio
        from greenroom import Orchestrator, tool

        @tool
        def f() -> int:
            return 1

        async def main() -> None:
            try:
                Orchestrator("runs.db")
            except Exception:
                raise SystemExit("this must not be reached")

        asyncio.run(main())
    """)
    loader.preload(str(path))
    assert refs() == {"app:f"}


def test_an_import_that_raises_is_told_with_frames_of_the_user_alone(write_app: WriteApp) -> None:
    write_app("def fail():\n    return 1 / 0\n", "beside.py")
    path = write_app("from beside import fail\nfail()\n")
    with pytest.raises(DefinitionError) as caught:
        loader.preload(str(path))
    text = str(caught.value)
    assert text.startswith(f"{path} cannot be imported: ZeroDivisionError: division by zero\n")
    assert f'File "{path}", line 2, in <module>' in text
    assert "beside.py" in text
    assert "importlib" not in text
    assert "actors" not in text


def test_a_syntax_error_shows_its_line(write_app: WriteApp) -> None:
    path = write_app("def broken(:\n")
    with pytest.raises(DefinitionError, match=r'cannot be imported: File ".*app.py", line 1\n +def broken\('):
        loader.preload(str(path))


def test_a_script_that_exits_while_imported_is_told_to_guard_its_end(write_app: WriteApp) -> None:
    path = write_app("""
        import argparse
        parser = argparse.ArgumentParser()
        parser.add_argument("topic")
        parser.parse_args()
    """)
    with pytest.raises(
        DefinitionError, match=r'(?s)ended while it was imported \(exit code 2\): .*__name__ == "__main__"'
    ):
        loader.preload(str(path))


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ("", "exit code 0"),
        ("None", "exit code 0"),
        ("True", "exit code 1"),
        ("300", "exit code 44"),
        ("-1", "exit code 255"),
        ("'no config'", "exit code 1, saying 'no config'"),
        (r"'two\nlines'", r"exit code 1, saying 'two\nlines'"),
        ("[1]", "exit code 1, saying '[1]'"),
    ],
)
def test_a_script_that_exits_while_imported_is_told_the_code_that_a_shell_would_see(
    write_app: WriteApp, left: str, words: str
) -> None:
    path = write_app(f"import sys\nsys.exit({left})\n")
    with pytest.raises(DefinitionError) as caught:
        loader.preload(str(path))
    assert f"ended while it was imported ({words}): put" in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere.py", "nowhere"])
def test_an_app_that_does_not_exist_is_told(name: str, tmp_path: Path) -> None:
    where = str(tmp_path / name) if name.endswith(".py") else name
    with pytest.raises(
        DefinitionError, match="cannot be imported: (there is no such file|.*No module named 'nowhere')"
    ):
        loader.preload(where)


def test_a_file_that_is_no_python_is_told(write_app: WriteApp) -> None:
    with pytest.raises(DefinitionError, match="cannot be imported: it is not a Python file"):
        loader.preload(str(write_app("a,b\n", "data.csv")))


def test_a_script_without_suffix_is_imported_and_not_mistaken_for_a_file_of_its_name(write_app: WriteApp) -> None:
    text = "from greenroom import tool\n@tool\ndef {}() -> int:\n    return 1\n"
    for name, function in (("ship", "from_script"), ("ship.py", "from_module")):
        path = write_app(text.format(function), name)
        os.utime(path, (1, 1))  # as old and as long as the other, so that a common cache would fit both
        loader.preload(str(path))
    assert refs() == {"ship:from_script", "ship:from_module"}


def test_a_file_that_is_edited_twice_in_a_second_is_imported_as_it_is_now(write_app: WriteApp) -> None:
    # With the same size and time of change, the cache of the first text would be taken for that of the second.
    soon = time.time() + 3600  # and not now, as the imports may take longer than a file counts as new
    look = "import sys; from greenroom.actors.app import loader; loader.load(sys.argv[1])"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for word in ("first", "begin"):
        beside = write_app(f"WORD = {word!r}\n", "beside.py")
        path = write_app(f"from beside import WORD\nprint(WORD, {word!r})\n")
        for each in (beside, path):
            os.utime(each, (soon, soon))
        command = [sys.executable, "-c", look, path]
        done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True)
        assert done.stdout.split() == [word, word]


def test_two_workflows_of_one_name_are_refused(write_app: WriteApp) -> None:
    path = write_app("""
        from greenroom import workflow

        @workflow
        async def one() -> None: ...

        @workflow(name="one")
        async def other() -> None: ...
    """)
    with pytest.raises(DefinitionError, match=r"several workflows called `one` \(app:one, app:other\)"):
        loader.preload(str(path))


def test_everything_that_cannot_run_is_told_at_once(write_app: WriteApp) -> None:
    path = write_app("""
        from greenroom import tool

        class Opaque: ...

        @tool
        def takes(x: Opaque) -> None: ...

        @tool
        def gives() -> "Nowhere": ...
    """)
    with pytest.raises(DefinitionError) as caught:
        loader.preload(str(path))
    assert [line.split(" is ")[0].split(" cannot")[0] for line in str(caught.value).splitlines()] == [
        "argument `x` of tool `takes`",
        "an annotation of tool `gives`",
    ]


def test_preloading_leaves_one_thread_and_no_descriptor(write_app: WriteApp) -> None:
    path = write_app("from greenroom import LLM, tool\nwriter = LLM('writer', output=list[int])\n")
    text = f"""
        import os
        from greenroom.actors.app import importing, loader
        before = os.listdir("/proc/self/fd")
        loader.preload({str(path)!r})
        assert len(os.listdir("/proc/self/task")) == 1
        assert os.listdir("/proc/self/fd") == before
    """
    lines = "\n".join(line.strip() for line in text.splitlines())
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", lines],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------- models of providers


def test_an_app_tells_which_variables_its_models_need(write_app: WriteApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GREENROOM_MODEL", raising=False)
    text = "from greenroom import LLM\na = LLM('a')\nb = LLM('b', model='mock')\n"
    assert loader.preload(str(write_app(text))) == {}
    monkeypatch.setenv("GREENROOM_MODEL", "ollama:qwen3")
    text += "c = LLM('c', model='openai:gpt-5')\nd = LLM('d', model='openai-chat:gpt-5')\n"
    needed = ("OLLAMA_API_KEY", "OLLAMA_BASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL")
    assert loader.preload(str(write_app(text, "other.py"))) == {"llm": needed}


def test_a_model_whose_library_is_missing_ends_the_import_of_its_app(
    write_app: WriteApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_app("from greenroom import LLM\na = LLM('a', model='xai:grok-4')\nb = LLM('b')\n")
    monkeypatch.setenv("GREENROOM_MODEL", "opnai:gpt-5")
    with pytest.raises(DefinitionError) as caught:
        loader.preload(str(path))
    first, second = str(caught.value).splitlines()
    assert first.endswith("whose library is not installed: pip install 'pydantic-ai-slim[xai]'")
    assert second.startswith("LLM `b` (through GREENROOM_MODEL) asks for the model 'opnai:gpt-5', which is not known")
