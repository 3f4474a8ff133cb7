"""Fingerprints of workflows: short texts that change when a replay may ask for something else.

A fingerprint covers the function's code, and the helpers, classes and constants beside it that it names. It also covers
the signatures of the steps and child workflows that it can reach. It ignores comments, blank lines, docstrings and the
code inside steps. It is computed from the syntax tree, so another version of Python may give another fingerprint. A
fingerprint that changes for no reason costs one comparison that finds nothing.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from inspect import unwrap
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, TypeAlias, cast

from pydantic import PydanticUserError
from pydantic_core import to_json

from greenroom.actors.definitions.signature import Signature
from greenroom.actors.definitions.source_code import Chain, Module, chains, module_of, normal
from greenroom.actors.values.conversion import ValueConverter, type_name
from greenroom.messages.core.errors import DefinitionError

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})

Code: TypeAlias = FunctionType | type


Reachable: TypeAlias = tuple[str, Signature]
"""Title and signature of a step or workflow."""


def fingerprint(fn: Callable[..., Any], reachable: Callable[[object], Reachable | None]) -> str:
    """Return the fingerprint of a workflow's function; the same in every process that has imported the same code.

    Args:
        fn: The function.
        reachable: Returns the step or workflow that an object of the user's code is, or None.
    """
    first = unwrap(fn)
    assert isinstance(first, FunctionType), "its site was found when it was decorated, so it is a function"
    parts: set[tuple[str, str]] = set()
    folder = Path(first.__code__.co_filename).parent
    queue: deque[Code] = deque([first])
    seen = {id(first)}
    while queue:
        code = queue.popleft()
        text, names, module = _look(code, whole=code is not first)
        parts.add(("" if code is first else code.__qualname__, text))
        for chain in names:
            value = _resolve(chain, code)
            for item in _items(value):
                if (found := reachable(item)) is not None:
                    parts.add((found[0], _signature(found[1])))
            if len(chain) == 1 and chain[0] in module.constants:
                parts.add((chain[0], module.constants[chain[0]]))
            value = unwrap(cast("Any", value)) if isinstance(value, FunctionType) else value
            if isinstance(value, (FunctionType, type)) and id(value) not in seen and _is_near(value, folder):
                seen.add(id(value))
                queue.append(value)
    return sha256(to_json(sorted(parts))).hexdigest()[:16]


def _look(code: Code, *, whole: bool) -> tuple[str, set[Chain], Module]:
    """Return the normal form of some code, the names in it, and its module. Uses the bytecode if there is no source."""
    module = module_of(_file(code))
    if isinstance(code, type):
        node = module.classes.get(code.__qualname__)
    else:
        node = module.functions.get((code.__code__.co_name, code.__code__.co_firstlineno))
    if node is not None:
        return normal(node, whole=whole), chains(node), module
    if isinstance(code, type):
        return "", set(), module
    return repr(_bytecode(code.__code__)), {(name,) for name in _global_names(code.__code__)}, module


def _file(code: Code) -> str:
    if isinstance(code, FunctionType):
        return code.__code__.co_filename
    return str(getattr(sys.modules.get(code.__module__), "__file__", None) or "")


def _is_near(code: Code, folder: Path) -> bool:
    """Return whether code belongs to the same app: it lies beside or below the workflow and was not installed there."""
    path = Path(_file(code))
    return path.is_relative_to(folder) and not _INSTALLED.intersection(path.relative_to(folder).parts)


# ---------------------------------------------------------------- names


def _resolve(chain: Chain, code: Code) -> object:
    """Return the value of a dotted name in some code; None if only running the code would tell."""
    if isinstance(code, FunctionType):
        cells = zip(code.__code__.co_freevars, code.__closure__ or (), strict=True)
        enclosed = {name: cell for name, cell in cells if name == chain[0]}
        value = _content(enclosed[chain[0]]) if enclosed else code.__globals__.get(chain[0])
    else:
        value = getattr(sys.modules.get(code.__module__), chain[0], None)
    for name in chain[1:]:
        value = vars(value).get(name) if isinstance(value, (ModuleType, type)) else None
    return value


def _content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # no value has been assigned yet
        return None


def _items(value: object) -> Iterable[object]:
    """Return a value, or the members of a collection, since steps are kept in lists and tables."""
    if isinstance(value, Mapping):
        return list(cast("Mapping[Any, object]", value).values())
    if isinstance(value, (list, tuple)):
        return list(cast("Iterable[object]", value))
    return (value,)


# ---------------------------------------------------------------- signatures and bytecode


def _signature(signature: Signature) -> str:
    """Return a description of a step's parameters and result."""
    try:
        parameters = [(item.name, item.kind.name, _schema(signature.forms[item.name])) for item in signature.parameters]
        return to_json([parameters, _schema(signature.result)]).decode()
    except DefinitionError as error:  # an annotation that cannot be looked up; loading the app reports it
        return str(error)


def _schema(form: ValueConverter) -> Any:
    try:
        return form.schema
    except PydanticUserError:  # it has no JSON schema, though it can be written as JSON
        return type_name(form.annotation)


def _bytecode(code: CodeType) -> list[Any]:
    """Return a description of a function's bytecode, for functions without source."""
    return [code.co_code, code.co_names, code.co_varnames, [_constant(item) for item in code.co_consts]]


def _constant(item: object) -> object:
    if isinstance(item, CodeType):
        return _bytecode(item)
    return sorted(map(repr, cast("frozenset[object]", item))) if isinstance(item, frozenset) else item


def _global_names(code: CodeType) -> set[str]:
    inner = (_global_names(item) for item in code.co_consts if isinstance(item, CodeType))
    return {*code.co_names, *code.co_freevars}.union(*inner)
