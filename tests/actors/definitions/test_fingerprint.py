"""A fingerprint changes with what a replay may come to ask for, and with nothing else."""

import importlib.util
import itertools
import sys
from pathlib import Path
from typing import Any

import pytest

from greenroom.actors.definitions import registry
from greenroom.actors.definitions.definitions import registered

APP = '''
from pydantic import BaseModel
from greenroom import LLM, tool, workflow
import helpers

PROMPT = "Say"
unused = 1


class Brief(BaseModel):
    title: str


@tool
def search(query: str) -> list[str]:
    return [query]


@tool
def other(query: str) -> int:
    return 1


writer = LLM("writer", output=Brief)


def words(topic):
    """Some."""
    return PROMPT + topic


@workflow
async def child(topic: str) -> str:
    return topic


@workflow
async def research(topic: str) -> Brief:
    """Look and write."""
    # first the words
    hits = await search(words(topic))
    await helpers.look(hits)
    await child(topic)

    return await writer(str(hits))
'''
HELPERS = """
async def look(hits):
    return [hit for hit in hits]
"""
numbers = itertools.count()


@pytest.fixture
def fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import an app with something replaced, and give the fingerprint of its workflow ``research``."""

    def give(old: str = "", new: str = "", *, helpers: str = HELPERS) -> str:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        (folder / "helpers.py").write_text(helpers)
        assert old in APP
        (folder / "app.py").write_text(APP.replace(old, new) if old else APP)
        registry.reset()
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, "helpers", raising=False)
        spec = importlib.util.spec_from_file_location(f"app_{folder.name}", folder / "app.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return registry.find_workflow("research").fingerprint

    known = dict(registered)
    yield give
    registered.clear()
    registered.update(known)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("    # first the words\n", ""),
        ('    """Look and write."""\n', ""),
        ('    """Some."""\n', '    """Other."""\n'),
        ("    await child(topic)\n\n", "    await child(\n        topic\n    )\n"),
        ("    return [query]", "    return [query, query]"),
        ("unused = 1", "unused = 2"),
        ("@tool\ndef other(query: str) -> int", "@tool\ndef other(query: int) -> int"),
        ("@workflow\nasync def research", '@workflow(name="research")\nasync def renamed'),
        ('LLM("writer", output=Brief)', 'LLM("writer", output=Brief, instructions="Be brief.", timeout=3)'),
        ("\n\nPROMPT", "\n\n\n\n# Words\n\nPROMPT"),
        ("    return topic\n", "    return topic + topic\n"),
    ],
)
def test_it_stays_where_nothing_else_can_be_asked_for(fingerprint: Any, old: str, new: str) -> None:
    assert fingerprint(old, new) == fingerprint()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("await search(words(topic))", "await search(topic)"),
        ("def search(query: str) -> list[str]", "def search(query: str) -> list[int]"),
        ("def search(query: str) -> list[str]", "def search(question: str) -> list[str]"),
        ("def search(query: str) -> list[str]", "def search(query: str, limit: int = 3) -> list[str]"),
        ("async def child(topic: str) -> str", "async def child(topic: str) -> int"),
        ("    title: str", "    title: str\n    text: str"),
        ('PROMPT = "Say"', 'PROMPT = "Write"'),
        ("return PROMPT + topic", "return topic + PROMPT"),
        ("async def research(topic: str)", 'async def research(topic: str = "otters")'),
    ],
)
def test_it_changes_with_what_the_workflow_can_reach(fingerprint: Any, old: str, new: str) -> None:
    assert fingerprint(old, new) != fingerprint()


def test_it_changes_with_helpers_in_files_beside(fingerprint: Any) -> None:
    changed = fingerprint(helpers=HELPERS.replace("in hits", "in hits[:2]"))
    assert changed != fingerprint()
    assert fingerprint(helpers=f"# a comment\n{HELPERS}") == fingerprint()


def test_a_file_that_is_gone_leaves_what_the_function_does() -> None:
    space: dict[str, Any] = {"__name__": "gone"}
    source = "async def one():\n    return 1\nasync def two():\n    return 2\nasync def again():\n    return 1\n"
    exec(compile(source, "/nowhere/gone.py", "exec"), space)
    from greenroom.actors.definitions.fingerprint import fingerprint as of  # noqa: PLC0415  the fixture has its name here

    found = [of(space[name], lambda _value: None) for name in ("one", "two", "again")]
    assert found[0] == found[2] != found[1]
