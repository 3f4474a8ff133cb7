"""What authors hand over need not be typed: a wrong value is told by the name of its option, never in Python's words."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from greenroom import LLM, DefinitionError, Judge, Orchestrator, Score, evaluator, session, tool, workflow
from greenroom.workflows.authoring.llm import LLMOptions
from tests.acceptance.apps.contract import scored

WRONG = (1, -1, 1.5, "x", b"x", [1], {"a": 1}, object(), True, float("nan"), print, BaseModel)


class State(BaseModel):
    count: int = 0


class Word(BaseModel):
    text: str = ""


def plain(word: str = "") -> float:
    return len(word) / 10


async def program(word: str = "") -> str:
    return word


async def handler(state: State, message: Word) -> str:
    return message.text


def decorated(decorator: Any, fn: Callable[..., Any]) -> Callable[..., object]:
    return lambda **options: decorator(**options)(fn)


TAKERS: dict[str, tuple[Callable[..., object], list[str]]] = {
    "tool": (decorated(tool, plain), [*tool.__kwdefaults__]),
    "evaluator": (decorated(evaluator, plain), [*evaluator.__kwdefaults__]),
    "workflow": (decorated(workflow, program), [*workflow.__kwdefaults__]),
    "session": (decorated(session, handler), [*session.__kwdefaults__]),
    "LLM": (lambda **options: LLM("writer", **options), [*LLMOptions.__annotations__]),
    "Judge": (
        lambda **options: Judge("judge", **{"rubric": "Is it short?"} | options),
        ["rubric", "sees", "settings", "threshold", "model", "timeout", "retry", "price"],
    ),
}


@pytest.mark.parametrize(
    ("taker", "option"), [(taker, option) for taker, (_, options) in TAKERS.items() for option in options]
)
def test_a_value_of_a_wrong_type_is_refused_as_a_definition(taker: str, option: str) -> None:
    make = TAKERS[taker][0]
    refused = 0
    for value in WRONG:
        try:
            make(**{option: value})
        except DefinitionError:
            refused += 1
    assert refused >= len(WRONG) / 2, "most of them fit no option"


@pytest.mark.parametrize("name", [*(each for each in WRONG if each != "x"), "", " ", "two\nlines", "\0"])
def test_a_name_is_a_text_of_one_line(name: Any) -> None:
    for make in (
        *(TAKERS[taker][0] for taker in ("tool", "evaluator", "workflow", "session")),
        LLM,
        lambda name: Judge(name, rubric="Is it short?"),
        lambda name: tool(plain).options(name=name),
    ):
        with pytest.raises(DefinitionError, match=r"the name of an? \w+ must be one line of text"):
            make(name=name)


@pytest.mark.parametrize(
    "name",
    ["pr\u00fcfe\u00a0text", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "search: otters #1", "\u691c\u7d22\u3000a"],
)
def test_a_name_may_be_of_any_script(name: str) -> None:
    assert tool(plain).options(name=name).name == name


@pytest.mark.parametrize("env", [("A",), ["A"], {"A"}, frozenset("A"), {"A": 1}.keys(), (each for each in "A")])
def test_variables_may_be_listed_by_anything_that_lists(env: Any) -> None:
    assert tool(env=env)(plain).definition.options.limits.env == ("A",)


@pytest.mark.parametrize("sees", ["call", "expected", b"call", None, ["call", 1]])
def test_a_judge_sees_a_list_and_no_word(sees: Any) -> None:
    with pytest.raises(DefinitionError, match="give a tuple of some of call"):
        Judge("judge", rubric="Is it short?", sees=sees)


@pytest.mark.parametrize("sees", [("call",), ["call", "expected"], {"steps"}, frozenset({"metadata"}), ()])
def test_a_judge_sees_what_is_listed(sees: Any) -> None:
    assert Judge("seer", rubric="Is it short?", sees=sees).name == "seer"


@pytest.mark.parametrize("field", ["reason", "label"])
@pytest.mark.parametrize("given", [1, b"x", ["x"], object()])
def test_a_score_says_what_its_texts_are(field: str, given: Any) -> None:
    with pytest.raises(TypeError, match=f"the {field} of a score must be a text, not"):
        Score(0.5, **{field: given})


@pytest.mark.parametrize(("value", "kept"), [(Decimal("0.5"), 0.5), (True, 1.0), (1, 1.0)])
def test_a_score_is_a_float_whatever_number_it_was_made_of(value: Any, kept: float) -> None:
    score = Score(value)
    assert (score.value, type(score.value)) == (kept, float)


def test_a_score_without_a_reason_may_say_so(orchestrator: Orchestrator) -> None:
    assert Score(0.5, reason=None).reason == ""  # type: ignore[arg-type]
    run = orchestrator.start(scored.rated, "none")
    assert run.result(60) == "none"
    (step,) = run.steps()
    assert [(each.score, each.error) for each in step.evaluations] == [(0.9, None)]


def test_an_evaluator_whose_score_is_none_is_told_where(orchestrator: Orchestrator) -> None:
    run = orchestrator.start(scored.rated, "number")
    assert run.result(60) == "number"
    (judged,) = run.steps()[0].evaluations
    assert judged.error is not None
    assert judged.error.startswith("TypeError: the reason of a score must be a text, not 7")
    assert "scored.py:" in judged.error
