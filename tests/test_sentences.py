"""Reasons and messages are put into other sentences, after a colon: they begin in lower case and end without a stop."""

import ast
import re
from collections.abc import Iterator

from tests.support import ROOT

ROOMS = ("actors", "dashboard", "greenroom", "journal", "messages", "metrics", "supervision", "workflows")
NAMES = {"detail", "message", "msg", "reason", "refusal", "said", "sentence", "why"}
"""Names of variables and parameters that hold such texts."""
TAKERS = {"degrade", "refuse", "refuse_for_good", "refuse_questions"}
"""Functions that take one as their first argument."""
CAPITAL = re.compile(r"[A-Z][a-z']*[ ,:]")
PROPER = {"Client"}
"""Words with a capital wherever they stand."""
PYTHONS = {"Event loop is closed"}
"""Texts of Python itself."""
TITLES = {"dashboard/responses/problems.py"}
"""Files whose sentences stand alone."""


def texts(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Name, ast.Attribute)):
            target = node.targets[0]
            if (target.id if isinstance(target, ast.Name) else target.attr) in NAMES:
                yield node.value
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if node.args and (called in TAKERS or called.endswith(("Error", "Failed", "Refused", "Invalid"))):
                yield node.args[0]
            yield from (keyword.value for keyword in node.keywords if keyword.arg in NAMES)


def beginnings(text: ast.expr) -> Iterator[tuple[int, str]]:
    """Give the literal texts with which an expression may begin, each with its line."""
    if isinstance(text, ast.Constant) and isinstance(text.value, str):
        yield text.lineno, text.value
    elif isinstance(text, ast.JoinedStr) and text.values:
        yield from beginnings(text.values[0])
    elif isinstance(text, ast.BinOp):
        yield from beginnings(text.left)
    elif isinstance(text, ast.IfExp):
        yield from beginnings(text.body)
        yield from beginnings(text.orelse)


def endings(text: ast.expr) -> Iterator[tuple[int, str]]:
    """Give the literal texts with which an expression may end, each with its line."""
    if isinstance(text, ast.Constant) and isinstance(text.value, str):
        yield text.lineno, text.value
    elif isinstance(text, ast.JoinedStr) and text.values:
        yield from endings(text.values[-1])
    elif isinstance(text, ast.BinOp):
        yield from endings(text.right)
    elif isinstance(text, ast.IfExp):
        yield from endings(text.body)
        yield from endings(text.orelse)


def files() -> Iterator[tuple[str, ast.Module]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name not in TITLES:
                yield name, ast.parse(path.read_text())


def test_no_reason_begins_with_a_capital() -> None:
    found = [
        f"{name}:{line}: {begin[:60]}"
        for name, tree in files()
        for text in texts(tree)
        for line, begin in beginnings(text)
        if CAPITAL.match(begin) and begin.split()[0] not in PROPER and begin not in PYTHONS
    ]
    assert found == []


def test_no_reason_ends_with_a_full_stop() -> None:
    found = [
        f"{name}:{line}: {end[-60:]}"
        for name, tree in files()
        for text in texts(tree)
        for line, end in endings(text)
        if end.endswith(".") and not end.endswith("...")
    ]
    assert found == []


def test_the_command_line_writes_whole_lines() -> None:
    """``print`` writes a line's end by itself, and output of workers may come between."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "greenroom" / "cli").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert found == []
