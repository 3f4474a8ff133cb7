"""Contexts of agents' runs as JSON and back, and what of them differs from process to process."""

import re
from typing import Any, Final, cast

from pydantic import PydanticSchemaGenerationError, ValidationError
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.durable_exec import JSON_CODEC, DurabilityEngineSpec, DurableRunContext
from pydantic_ai.tools import RunContext
from pydantic_core import PydanticSerializationError

from greenroom.actors.values.canonical import sort_sets
from greenroom.messages.core.errors import DefinitionError, InvalidInput, NotSerializable

Wire = dict[str, Any]
"""Parameters as JSON values, by name."""

_MADE_UP: Final = re.compile(r"<[a-z0-9_]+:[0-9a-f]+>")
"""Ids that the library makes up for capabilities without one, anew in each process."""
_UNTYPED: Final = (object, type(None), Any)
_PLAIN: Final = (type(None), bool, int, float, str, list, dict)


class Contexts:
    """Writes the context of an agent's run, and builds it again in a worker.

    Args:
        agent: The agent.
        spec: The engine, for the library's messages.
    """

    def __init__(self, agent: AbstractAgent[Any, Any], spec: DurabilityEngineSpec) -> None:
        """Keep what every context of the agent needs."""
        self.agent = agent
        self.spec = spec

    def dump(self, context: RunContext[Any]) -> Wire:
        """Return a context as JSON values.

        Raises:
            NotSerializable: The agent's dependencies cannot be written as JSON.
        """
        carried = DurableRunContext.serialize_run_context(context)
        written = sort_sets(carried, JSON_CODEC.dump(dict[str, Any], carried))
        return {"context": without_made_up(written), "deps": self._dump_deps(context.deps)}

    def load(self, wire: Wire) -> RunContext[Any]:
        """Return a context for code in a worker.

        Raises:
            InvalidInput: The dependencies no longer fit their type.
        """
        try:
            deps = JSON_CODEC.load(self._deps_type, wire["deps"])
        except ValidationError as error:
            msg = f"the dependencies of agent `{self.agent.name}` do not fit {self._deps_type!r}: {error}"
            raise InvalidInput(msg) from error
        return DurableRunContext.restore(wire["context"], deps=deps, agent=self.agent, engine_spec=self.spec)

    @property
    def _deps_type(self) -> Any:
        return self.agent.deps_type

    def _dump_deps(self, deps: object) -> Any:
        if self._deps_type in _UNTYPED and type(deps) not in _PLAIN:
            msg = (
                f"agent `{self.agent.name}` is run with deps of {type(deps).__name__}, which its steps cannot read in "
                f"other processes: name the type with Agent(..., deps_type={type(deps).__name__})"
            )
            raise DefinitionError(msg)
        try:
            return sort_sets(deps, JSON_CODEC.dump(self._deps_type, deps))
        except (PydanticSerializationError, PydanticSchemaGenerationError, TypeError, ValueError) as error:
            msg = (
                f"the deps of agent `{self.agent.name}` cannot be written as JSON, and its steps run in other "
                f"processes: make them a pydantic model or a dataclass of plain values ({error})"
            )
            raise NotSerializable(msg) from error


def without_made_up(json: Any) -> Any:
    """Return JSON values without the ids that the library makes up."""
    if isinstance(json, dict):
        members = cast("dict[str, Any]", json).items()
        return {name: without_made_up(value) for name, value in members if not _is_made_up(name)}
    if isinstance(json, list):
        return [without_made_up(value) for value in cast("list[object]", json) if not _is_made_up(value)]
    return None if _is_made_up(json) else json


def _is_made_up(json: object) -> bool:
    return isinstance(json, str) and _MADE_UP.fullmatch(json) is not None
