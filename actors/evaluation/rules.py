"""Rules: ready-made evaluators that compare a result with what was given. They run in evaluator processes."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Sized
from typing import Annotated, Any, Final, Literal, TypeAlias, cast

from pydantic import Field, TypeAdapter

from greenroom.actors.definitions.definition_site import Site
from greenroom.actors.definitions.definitions import StepDefinition
from greenroom.actors.values.conversion import AnyJson
from greenroom.messages.core.equality import same
from greenroom.messages.core.message import Message
from greenroom.messages.options.policy import StepOptions
from greenroom.messages.records.evaluation import Score

_ANY: Final[TypeAdapter[Any]] = TypeAdapter(Any)
_SHOWN: Final = 80
"""Characters of a value that a reason quotes."""


class Contains(Message):
    """Every text occurs in the result; with ``absent`` none does."""

    rule: Literal["contains"] = "contains"
    texts: tuple[str, ...] = Field(min_length=1)
    absent: bool = False
    ignore_case: bool = False
    at: str = ""


class Equals(Message):
    """The result is a given value, or the expected output of its case."""

    rule: Literal["equals"] = "equals"
    value: str | None = None
    """As JSON text; None for the expected output."""
    at: str = ""


class Matches(Message):
    """A regular expression is found in the result."""

    rule: Literal["matches"] = "matches"
    pattern: str
    at: str = ""


class Length(Message):
    """Characters of a text, items of a list or fields of an object are within bounds."""

    rule: Literal["length"] = "length"
    least: int = Field(default=0, ge=0)
    most: int | None = Field(default=None, ge=0)
    at: str = ""


class Calls(Message):
    """The steps of a whole run are as wanted."""

    rule: Literal["calls"] = "calls"
    names: tuple[str, ...] = ()
    ordered: bool = False
    never: tuple[str, ...] = ()
    most: int | None = Field(default=None, ge=0)
    most_of: dict[str, int] = Field(default_factory=dict)


AnyRule: TypeAlias = Annotated[Contains | Equals | Matches | Length | Calls, Field(discriminator="rule")]
RULES: Final[TypeAdapter[AnyRule]] = TypeAdapter(AnyRule)


def check(result: AnyJson, call: AnyJson = None, *, rule: str) -> Score:
    """Return 1.0 if a result follows a rule, given as JSON text, and 0.0 with a reason if it does not.

    Raises:
        ValueError: The call does not hold what the rule needs: an expected output, or the steps of a run.
    """
    return score(RULES.validate_json(rule), _ANY.dump_python(result, mode="json"), call)


def score(rule: AnyRule, result: Any, call: Any = None) -> Score:
    """Return the score of a result by a rule; see ``check``."""
    given: Mapping[str, Any] = cast("Mapping[str, Any]", call) if isinstance(call, Mapping) else {}
    if isinstance(rule, Calls):
        return _verdict(_wrong_calls(rule, given))
    try:
        part = _part(result, rule.at)
    except LookupError as error:
        return _verdict([str(error.args[0])])
    match rule:
        case Contains():
            return _verdict(_wrong_texts(rule, _text(part)))
        case Equals(value=value):
            if value is None and "expected" not in given:
                msg = "there is no expected output to compare the result with"
                raise ValueError(msg)
            wanted = given["expected"] if value is None else json.loads(value)
            return _verdict([] if same(part, wanted) else [f"it is {_quote(part)}, not {_quote(wanted)}"])
        case Matches(pattern=pattern):
            found = re.search(pattern, _text(part))
            return _verdict([] if found else [f"nothing in it matches {pattern}"])
        case Length(least=least, most=most):
            size = len(cast("Sized", part)) if isinstance(part, (str, list, tuple, dict)) else len(_text(part))
            short = [f"it has a length of {size}, and {least} is the least"] if size < least else []
            long = [f"it has a length of {size}, and {most} is the most"] if most is not None and size > most else []
            return _verdict(short + long)


def _verdict(wrong: Sequence[str]) -> Score:
    return Score(0.0 if wrong else 1.0, "; ".join(wrong))


def _wrong_texts(rule: Contains, text: str) -> list[str]:
    where = text.casefold() if rule.ignore_case else text
    there = {each: (each.casefold() if rule.ignore_case else each) in where for each in rule.texts}
    if rule.absent:
        return [f"it contains {each!r}" for each, found in there.items() if found]
    return [f"it does not contain {each!r}" for each, found in there.items() if not found]


def _wrong_calls(rule: Calls, call: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the steps of a run."""
    if "steps" not in call:
        msg = "the steps of a whole run are needed, which evaluations of runs pass on"
        raise ValueError(msg)
    made = [str(step["name"]) for step in call["steps"]]
    counts = Counter(made)
    wrong = [f"{name} was called" for name in rule.never if counts[name]]
    if rule.ordered:
        rest = iter(made)
        missing = next((name for name in rule.names if name not in rest), None)
        if missing is not None:
            wrong.append(f"{missing} was not called in its place of {' > '.join(rule.names)}")
    else:
        wrong += [f"{name} was called {counts[name]} of {n} times" for name, n in _short(rule.names, counts)]
    if rule.most is not None and len(made) > rule.most:
        wrong.append(f"there were {len(made)} calls, and {rule.most} are the most")
    wrong += [
        f"{name} was called {counts[name]} times, and {most} are the most"
        for name, most in rule.most_of.items()
        if counts[name] > most
    ]
    return wrong


def _short(names: Sequence[str], made: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the names that were called too seldom, with how often they should have been."""
    return [(name, wanted) for name, wanted in Counter(names).items() if made[name] < wanted]


def _part(value: Any, at: str) -> Any:
    """Return the part of a value at a path such as ``items.0.title``; the value itself if the path is empty.

    Raises:
        LookupError: There is no such part.
    """
    for name in at.split(".") if at else ():
        if isinstance(value, Mapping) and name in value:
            value = cast("Mapping[str, Any]", value)[name]
        elif isinstance(value, (list, tuple)) and name.isdecimal() and int(name) < len(cast("Sequence[Any]", value)):
            value = cast("Sequence[Any]", value)[int(name)]
        else:
            msg = f"it has no {at}"
            raise LookupError(msg)
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _quote(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


DEFINITION: Final = StepDefinition(
    "evaluator",
    "rule",
    check,
    Site(__name__, "check", __name__, __file__, "", id(globals()), 0),
    StepOptions(),
    result=Score,
)
"""The one definition of all rules: a call holds what it checks."""
