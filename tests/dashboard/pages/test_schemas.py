"""What a form begins with: an example made from a JSON Schema."""

import enum
from collections.abc import Callable
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, JsonValue, TypeAdapter


class Style(enum.StrEnum):
    SHORT = "short"
    LONG = "long"


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []
    parent: "Tree | None" = None


class Point(BaseModel):
    x: int
    y: float


class Order(BaseModel):
    style: Style = Style.LONG
    place: Point = Point(x=3, y=4.5)
    tree: Tree
    kind: Literal["a", "b"]
    either: int | str
    extra: dict[str, JsonValue] = Field(default_factory=dict)


@pytest.fixture
def example_of(scripts: Callable[..., Any]) -> Callable[[Any], Any]:
    """Give what makes an example of a type's schema, with the pages' own script."""

    def example_of(schema: Any) -> Any:
        definitions = schema.get("$defs", {}) if isinstance(schema, dict) else {}
        return scripts("schemas.js", "exampleOf", schema, definitions)

    return example_of


@pytest.mark.parametrize("kind", [Order, Tree, Point, Style, int | None, list[Tree], dict[str, Order], Tree | Point])
def test_an_example_fits_the_type(example_of, kind):
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    adapter.validate_python(example_of(adapter.json_schema()))


def test_a_default_goes_before_what_its_type_begins_with(example_of):
    example = example_of(Order.model_json_schema())
    assert (example["style"], example["place"]) == ("long", {"x": 3, "y": 4.5})


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        {"type": ["string", "null"]},
        {"type": "object", "required": ["a"]},
        {"type": "object", "properties": {"a": True}, "required": ["a", "b"]},
        {"$ref": "#/$defs/Gone"},
        {"enum": []},
        {"anyOf": []},
    ],
)
def test_an_example_of_an_odd_schema_is_json_all_the_same(example_of, schema):
    example_of(schema)
