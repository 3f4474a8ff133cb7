"""Workflows whose arguments hold sets in every place where a set can be."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, RootModel

from greenroom import workflow

WORDS = [f"word-{number}" for number in range(30)]


class Colour(Enum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"
    BLACK = "black"


class Leaf(BaseModel):
    model_config = ConfigDict(frozen=True)
    name: str
    marks: frozenset[str] = frozenset()


class Tags(RootModel[set[str]]):
    pass


@dataclass(frozen=True)
class Pair:
    left: frozenset[str]
    right: int


class Tree(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, set[str]] = Field(init=False)
    tags: Tags
    leaves: set[Leaf] = Field(alias="theLeaves")
    pairs: dict[str, list[Pair]]


@workflow
async def sorts(
    words: set[str],
    colours: frozenset[Colour],
    trees: list[Tree],
    deep: dict[str, dict[str, set[frozenset[str]]]],
    listed: dict[str, list[set[str]]],
    mixed: tuple[set[int | str], str],
) -> int:
    return len(words) + len(colours) + len(trees) + len(deep) + len(mixed)


def arguments() -> tuple[Any, ...]:
    """Give the same arguments every time, in whatever order this interpreter has them."""
    leaves = {Leaf(name=word, marks=frozenset(WORDS[:5])) for word in WORDS[:6]}
    pairs = {word: [Pair(left=frozenset(WORDS), right=1)] for word in WORDS[:3]}
    tree = Tree.model_validate({"tags": set(WORDS), "theLeaves": leaves, "pairs": pairs, "more": set(WORDS)})
    deep = {"a": {word: {frozenset(WORDS[:4]), frozenset(WORDS[4:9])} for word in set(WORDS[:4])}}
    return set(WORDS), frozenset(Colour), [tree, tree], deep, {"x": [set(WORDS)]}, ({1, "1", *WORDS}, "end")
