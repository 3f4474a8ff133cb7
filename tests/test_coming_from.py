"""The page for people who know another system: every name and option of ours that it shows exists."""

import ast
import inspect
import re
from typing import Any

import pytest

import greenroom
from greenroom import LLM, Orchestrator, Run, Session, testing
from greenroom.actors.api.step_context import StepContext
from greenroom.workflows.authoring.llm import LLMOptions
from tests.support import ROOT

PAGE = (ROOT / "docs" / "coming-from.md").read_text()
OWNERS = {"run": Run, "session": Session, "orchestrator": Orchestrator}
WORDS = {"state", "tools", "id", "if", "for", "await", "asyncio.gather", "max_restarts", "within", "model_scripts"}
"""What stands on the right as a name of Python, an option, or a fixture."""

ROWS = [
    (row[0], span)
    for row in re.findall(r"^\| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
    if set(row[0]) != {"-"} and row[0] != "there"
    for span in re.findall(r"`([^`]+)`", row[1])
]


def options_of(called: Any) -> set[str]:
    if called is LLM:
        return {*LLMOptions.__annotations__, "output"}
    if hasattr(called, "model_fields"):
        return {*called.model_fields}
    return {*inspect.signature(called).parameters}


def named(expression: ast.expr) -> Any:
    """Return what an expression of the page names, where it is ours; raise if there is no such thing."""
    match expression:
        case ast.Name(id=name) if name in OWNERS:
            return OWNERS[name]
        case ast.Name(id=name) if hasattr(greenroom, name):
            return getattr(greenroom, name)
        case ast.Name(id=name) if name in testing.__all__:
            return getattr(testing, name)
        case ast.Attribute(value=ast.Call(func=ast.Name(id="current")), attr=attribute):
            assert attribute in {*dir(StepContext), *StepContext.__annotations__}
            return getattr(StepContext, attribute, attribute)
        case ast.Attribute(value=owner, attr=attribute):
            return getattr(named(owner), attribute)
        case _:
            return None


@pytest.mark.parametrize(("there", "span"), ROWS)
def test_what_the_page_names_exists(there: str, span: str) -> None:
    if span in WORDS or span.startswith("greenroom "):  # commands are run elsewhere
        return
    tree = ast.parse(span.removeprefix("@").removeprefix("await "), mode="eval")
    assert named(tree.body.func if isinstance(tree.body, ast.Call) else tree.body) is not None or "writer(" in span
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and not (isinstance(call.func, ast.Name) and call.func.id == "writer"):
            given = {option.arg for option in call.keywords}
            assert given <= options_of(named(call.func)), f"{there}: {given}"


def test_the_page_has_names_to_check() -> None:
    assert len(ROWS) > 60
