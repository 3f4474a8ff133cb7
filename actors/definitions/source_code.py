"""Users' source files as syntax trees without comments, layout and docstrings."""

import ast
import re
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

from greenroom.messages.core.former_name import FORMER
from greenroom.messages.core.frozen import mutable

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Node: TypeAlias = Function | ast.ClassDef
Chain: TypeAlias = tuple[str, ...]
"""A dotted name: ``("tools", "search")`` is ``tools.search``."""

_PACKAGE: Final = re.compile(r"\b(id|name|module)='greenroom(?=['.])")
_ERROR: Final = re.compile(r"\b(id|name|attr)='GreenroomError'")


@mutable
class Module:
    """One file. Empty if it cannot be read as Python."""

    functions: dict[tuple[str, int], Node] = field(default_factory=dict[tuple[str, int], Node])
    """Every function, including methods and inner functions, by name and by the line where it or its first decorator
    begins."""
    classes: dict[str, Node] = field(default_factory=dict[str, Node])
    """Classes by qualified name, without those inside functions."""
    constants: dict[str, str] = field(default_factory=dict[str, str])
    """Literals that the file assigns to its names, in normal form."""


def module_of(file: str) -> Module:
    """Return the module of a file as it is stored now."""
    try:
        return _parse(file, Path(file).stat().st_mtime_ns)
    except (
        OSError,
        SyntaxError,
        ValueError,
    ):  # the file is gone, or can no longer be imported
        return Module()


@cache
def _parse(file: str, _written: int) -> Module:
    tree = ast.parse(Path(file).read_bytes())
    module = Module()
    _collect(tree, "", module)
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets = [statement.target]
        value = statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None
        if value is not None and _is_literal(value):
            module.constants.update({name.id: ast.dump(value) for name in targets if isinstance(name, ast.Name)})
    return module


def _collect(tree: ast.AST, prefix: str | None, module: Module) -> None:
    """Collect functions and classes, and remove docstrings. ``prefix`` is None inside functions."""
    for node in ast.iter_child_nodes(tree):
        inside = prefix
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            node.body = [statement for statement in node.body if not _is_text(statement)]
            if isinstance(node, ast.ClassDef):
                if prefix is not None:
                    module.classes[f"{prefix}{node.name}"] = node
                    inside = f"{prefix}{node.name}."
            else:
                line = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                module.functions[node.name, line] = node
                inside = None
        _collect(node, inside, module)


def _is_text(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return False
    return True


def normal(node: Node, *, whole: bool = True) -> str:
    """Return a text that is the same for the same code. If not ``whole``, leave out the name and the decorators."""
    if whole:
        return _under_former_name(ast.dump(node))
    rest = node.body if isinstance(node, ast.ClassDef) else [node.args, *node.body]
    return _under_former_name("\n".join([type(node).__name__, *map(ast.dump, rest)]))


def _under_former_name(text: str) -> str:
    """Write names of this package as they were before it was renamed.

    Journals hold fingerprints of code that was written then, and code in which only that name was replaced is the same.
    """
    return _ERROR.sub(rf"\1='{FORMER.capitalize()}Error'", _PACKAGE.sub(rf"\1='{FORMER}", text))


def chains(node: ast.AST) -> set[Chain]:
    """Return every dotted name in some code, with all its prefixes."""
    return {chain for each in ast.walk(node) if (chain := _chain(each)) is not None}


def _chain(node: ast.AST) -> Chain | None:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        start = _chain(node.value)
        return None if start is None else (*start, node.attr)
    return None
