"""JSON Schemas of the inputs and results of an app's workflows and sessions: for people, forms and generated clients.

A schema says what is known of an annotation. A type that pydantic cannot describe accepts anything in its schema; its
own validators decide what really fits.
"""

import inspect
import itertools
import re
from collections.abc import Iterator
from inspect import Parameter
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from greenroom.actors.definitions.definitions import Definition, WorkflowDefinition
from greenroom.actors.definitions.registry import lookup
from greenroom.actors.definitions.sessions import SessionDefinition
from greenroom.actors.definitions.signature import COLLECTING, Signature
from greenroom.actors.values.conversion import ValueConverter
from greenroom.messages.core.json_text import plain
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import Definition as DefinitionRecord
from greenroom.messages.transcript import ToolSchema

Mode = Literal["validation", "serialization"]
_SECTION: Final = re.compile(r"[A-Z][A-Za-z ]+:")
_ENDS: Final = frozenset({"Args:", "Arguments:", "Returns:", "Raises:", "Yields:", "Example:", "Examples:"})
"""Headings of sections of a docstring that a model need not read."""
_ARGUMENT: Final = re.compile(r"\*{0,2}(?P<name>\w+)(?: *\([^)]*\))?: *(?P<text>.*)")


def with_schemas(record: DefinitionRecord) -> DefinitionRecord:
    """Return a manifest's entry with the schemas of its definition. Only workflows and sessions have schemas."""
    found = lookup(record.ref)
    schemas: dict[str, Any] = {}
    if isinstance(found, WorkflowDefinition):
        schemas = {"input_schema": arguments_schema(found), "result_schema": _result(found)}
    elif isinstance(found, SessionDefinition):
        schemas = {
            "messages": {name: schema_of(model, "validation") for name, model in found.messages.items()},
            "state_schema": schema_of(found.state_model, "serialization"),
            "result_schema": _result(found),
        }
    return record.model_copy(update=schemas)


def _result(found: Definition) -> Json:
    return schema_of(found.signature.result.annotation, "serialization")


def tool_schema(found: Definition, name: str) -> ToolSchema:
    """Return a step or workflow as a tool for a model: its docstring, and its parameters with their descriptions."""
    doc = inspect.cleandoc(found.fn.__doc__ or "")
    described = itertools.takewhile(lambda line: line.strip() not in _ENDS, doc.splitlines())
    return ToolSchema(name=name, description="\n".join(described).strip(), parameters=arguments_schema(found))


def arguments_schema(found: Definition) -> Json:
    """Describe the arguments of a definition, by name."""
    signature: Signature = found.signature
    said = argument_docs(found.fn.__doc__ or "")
    properties: dict[str, Any] = {}
    required: list[str] = []
    known, definitions = _schemas({name: form.annotation for name, form in signature.named_forms.items()})
    for parameter in signature.parameters:
        form = signature.named_forms[parameter.name]
        schema = dict(known.get(parameter.name, {}))
        if parameter.default is not Parameter.empty:
            schema |= _default(form, parameter.default)
        elif parameter.kind not in COLLECTING:
            required.append(parameter.name)
        if parameter.name in said:
            schema.setdefault("description", said[parameter.name])
        properties[parameter.name] = schema
    whole: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    return whole | ({"$defs": definitions} if definitions else {})


def _schemas(annotations: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Describe annotations by name, as far as possible, with the definitions that they share."""
    good = {name: each for name, each in annotations.items() if schema_of(each, "validation")}
    if not good:
        return {}, {}
    found, shared = TypeAdapter.json_schemas([(name, "validation", TypeAdapter(each)) for name, each in good.items()])
    return {str(name): schema for (name, _), schema in found.items()}, shared.get("$defs", {})


def _default(form: ValueConverter, value: object) -> dict[str, Any]:
    """Return the schema of a default; empty if the default cannot be written."""
    try:
        return {"default": plain(form.encode(value))}
    except Exception:  # noqa: BLE001  the app's own code, which would also raise in the call
        return {}


def schema_of(annotation: Any, mode: Mode) -> dict[str, Any]:
    """Describe the values of an annotation. ``{}`` accepts anything."""
    try:
        return TypeAdapter(annotation).json_schema(mode=mode)
    except Exception:  # noqa: BLE001  the app's own code, or a type that has no schema
        return {}


def argument_docs(doc: str) -> dict[str, str]:
    """Return the description of each argument in a docstring of Google's style."""
    return {name: " ".join(words) for name, words in _arguments(inspect.cleandoc(doc).splitlines())}


def _arguments(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    inside, margin = False, 0
    name, words = "", list[str]()
    for line in lines:
        indent, text = len(line) - len(line.lstrip()), line.strip()
        if not indent and text:
            inside, margin = text in {"Args:", "Arguments:"}, 0
        elif inside and text:
            margin = margin or indent
            found = _ARGUMENT.fullmatch(text) if indent == margin else None
            if found is not None and not _SECTION.fullmatch(text):
                if name:
                    yield name, words
                name, words = found["name"], [found["text"]]
            elif name:
                words.append(text)
    if name:
        yield name, words
