import json
from datetime import date
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from greenroom.actors.models import ModelReply
from greenroom.actors.values.conversion import ValueConverter
from greenroom.actors.worker.models.model_answer import InvalidAnswer, read_answer


class Brief(BaseModel):
    title: str
    bullets: list[str]
    due: date | None = None
    size: float = 1.0


WHOLE = {"title": "Otters", "bullets": ["They swim."], "due": "2024-02-29", "size": 2}


def read(output: Any, text: str, **reply: Any) -> Any:
    return read_answer(ValueConverter(output, "the result of LLM `writer`"), ModelReply(text, **reply))


def test_json_that_fits_is_an_answer() -> None:
    assert read(Brief, f"  {json.dumps(WHOLE)}\n") == Brief(
        title="Otters", bullets=["They swim."], due=date(2024, 2, 29), size=2.0
    )
    assert read(list[int], "[1, 2]") == [1, 2]
    assert read(Literal["yes", "no"], '"yes"') == "yes"
    assert read(str, " any text ") == "any text"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (json.dumps(WHOLE)[:-1], "the answer is not JSON: EOF while parsing an object"),
        (json.dumps(WHOLE)[:40], "the answer is not JSON: EOF while parsing a string"),
        (f"Here you are:\n{json.dumps(WHOLE)}", "the answer is not JSON: expected value at line 1 column 1"),
        (f"{json.dumps(WHOLE)}\nI hope this helps!", "the answer is not JSON: trailing characters at line 2"),
        (f"```json\n{json.dumps(WHOLE)}\n```", "no text and no code fence around it"),
        ('{"title": "a", "bullets": [], "size": NaN}', "the answer is not JSON"),
        ('{"title": "a"}', "the answer does not fit Brief: bullets: Field required"),
        (
            '{"title": 1, "bullets": ["a", 2]}',
            "title: Input should be a valid string; bullets.1: Input should be a valid s",
        ),
        ('{"title": "a", "bullets": [], "size": "2"}', "size: Input should be a valid number"),
        ('{"title": "a", "bullets": [], "due": "soon"}', "due: Input should be a valid date"),
        ("[" * 100_000, "the answer is not JSON: recursion limit exceeded"),
        ("null", "the answer does not fit Brief"),
        ("   ", "the answer is empty"),
    ],
)
def test_what_is_not_whole_and_as_asked_for_is_no_answer(text: str, fault: str) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        read(Brief, text)
    assert fault in str(caught.value)
    assert caught.value.reply.text == text


def test_text_cut_short_is_no_answer_even_where_text_is_asked_for() -> None:
    with pytest.raises(InvalidAnswer, match="cut short"):
        read(str, "Otters are", finish="length")


def test_a_refusal_is_no_answer() -> None:
    with pytest.raises(InvalidAnswer, match="the model refused to answer: I cannot"):
        read(str, "I cannot", finish="refusal")
