"""Hints for people whose code misses an environment variable that was withheld from its process.

A process learns the names when it loads its app, and never the values.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

_REQUIRED: Final = re.compile(r"^(\w+)\n\s+field required", re.MULTILINE | re.IGNORECASE)
"""How pydantic and pydantic-settings name a required field that is not set: in a line of its own."""
_KEPT: Final = "set where the orchestrator runs, but kept from workers, as whatever looks like a secret is"

_names: frozenset[str] = frozenset()


def note_withheld(names: Iterable[str]) -> None:
    """Remember which variables were withheld from this process. Called once, before its app is loaded."""
    global _names  # noqa: PLW0603  a process has one environment
    _names = frozenset(names)


def hint(text: str, environ: Mapping[str, str]) -> str:
    """Return a sentence on how to pass what an error says is missing; empty if nothing was withheld.

    Args:
        text: The error's text, and the line that raised it.
        environ: The environment of this process, which may have some of the variables by now.
    """
    if _KEPT in text:  # an error about another one, which already says so
        return ""
    missing = missing_names(text, [name for name in _names if name not in environ])
    return sentence(missing) if missing else ""


def missing_names(text: str, withheld: Collection[str]) -> list[str]:
    """Return those variables that an error is about: by name, or as a required field that one of them sets."""
    fields = {field.upper() for field in _REQUIRED.findall(text)}
    return sorted(name for name in withheld if _named(name, text) or _sets(name.upper(), fields))


def _named(name: str, text: str) -> bool:
    flags = re.IGNORECASE if "_" in name else re.NOFLAG
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, flags) is not None


def _sets(name: str, fields: Collection[str]) -> bool:
    return any(name == field or name.endswith(f"_{field}") for field in fields)  # settings may have a prefix


def sentence(names: Collection[str]) -> str:
    """Return a sentence that says which variables were withheld, and every way to pass them."""
    listed = ", ".join(f'"{name}"' for name in names)
    options = " ".join(f"--env {name}" for name in names)
    are, them = ("is", "it") if len(names) == 1 else ("are", "them")
    return (
        f"{' and '.join(names)} {are} {_KEPT}: give {them} to the app with `{options}`, "
        f"`Orchestrator(env=[{listed}])` or `env = [{listed}]` under [tool.greenroom] in pyproject.toml, or to some "
        f"workers alone with `@tool(env=[{listed}])` or `Pool(env=({listed},))`"
    )
