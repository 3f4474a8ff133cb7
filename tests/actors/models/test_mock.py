import asyncio
import json
import time
from collections import Counter
from datetime import date, datetime
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from greenroom.actors.models import ModelReply, ModelRequest
from greenroom.actors.models.embedded.extract import read_prompt, shorten
from greenroom.actors.models.embedded.mock import MockModel
from greenroom.actors.values.conversion import ValueConverter
from greenroom.messages.core.errors import RetryAfter

SOURCE = """# The sea otter

The sea otter is a marine mammal of the North Pacific. Adult sea otters weigh 14 to 45 kg. Unlike whales, the sea otter
keeps warm with the densest fur in the animal kingdom. It was listed on 1977-12-23.

- Sea otters use stones as tools.
- They are not blind.

Sea otters eat sea urchins, and so protect kelp forests. See https://example.org/otters for more.
"""
FLAT = " ".join(SOURCE.split())
PROMPT = f"Summarise this part in a few bullets:\n\n{SOURCE}"


class Kind(Enum):
    BIRD = "bird"
    MAMMAL = "mammal"


class Part(BaseModel):
    text: str
    weight: int


class Node(BaseModel):
    label: str
    children: list["Node"] = []
    next: "Node | None" = None


class Brief(BaseModel):
    title: str
    bullets: list[str]
    kind: Kind
    listed: date
    blind: bool
    tools: bool
    weight: float = Field(ge=10, le=100)
    parts: list[Part] = Field(min_length=2, max_length=3)
    note: str | None
    source: str = Field(json_schema_extra={"format": "uri"})
    short: str = Field(max_length=20)


def complete(model: MockModel, prompt: str = PROMPT, output: Any = str, **request: Any) -> ModelReply:
    schema = None if output is str else ValueConverter(output, "it").schema
    return asyncio.run(model.complete(ModelRequest(prompt, schema=schema, **request)))


def value(prompt: str, output: Any, **request: Any) -> Any:
    return ValueConverter(output, "it").read_text(
        complete(MockModel(latency=0), prompt, output, **request).text, strict=True
    )


def test_a_summary_is_made_of_sentences_of_the_source() -> None:
    text = complete(MockModel(latency=0)).text
    assert text
    assert all(sentence.strip(". ") in FLAT for sentence in text.split(". "))


def test_a_schema_is_filled_from_the_source() -> None:
    brief = value(PROMPT, Brief)
    assert brief.title == "The sea otter"
    assert brief.bullets
    assert all(bullet in FLAT for bullet in brief.bullets)
    assert brief.kind is Kind.MAMMAL
    assert brief.listed == date(1977, 12, 23)
    assert (brief.blind, brief.tools) == (False, True)
    assert brief.weight == 14.0
    assert 2 <= len(brief.parts) <= 3
    assert all(part.text in FLAT for part in brief.parts)
    assert brief.source == "https://example.org/otters"
    assert len(brief.short) <= 20


@pytest.mark.parametrize(
    "prompt",
    [
        PROMPT,
        SOURCE,
        "Write a brief on otters from ['Otters hold hands.', 'Sea otters use stones to open shells.']",
        "Summarise: nothing",
        "Is it?",
        "?",
        "",
        "[",
        "ein kurzer Satz ohne Ende und noch einer 漢字 🦦",
    ],
)
@pytest.mark.parametrize(
    "output",
    [
        Brief,
        Node,
        list[str],
        list[int],
        list[Part],
        dict[str, int],
        int,
        float,
        bool,
        Literal["a", "b"],
        Literal[3],
        datetime,
        tuple[int, str],
        int | None,
        Kind | int,
    ],
)
def test_an_answer_fits_its_schema_whatever_the_prompt(prompt: str, output: Any) -> None:
    value(prompt, output)


def test_a_list_of_texts_in_the_prompt_is_the_source() -> None:
    prompt = "Write a brief on otters from ['Otters hold hands.', 'Sea otters use stones to open shells.']"
    assert value(prompt, list[str]) == ["Otters hold hands.", "Sea otters use stones to open shells."]


@given(st.text())
def test_every_prompt_is_read_as_something(prompt: str) -> None:
    material = read_prompt(prompt)
    assert len(material.sentences) >= 1


@given(st.text(alphabet="ab .,", max_size=60), st.integers(1, 60))
def test_a_shortened_sentence_begins_as_the_whole_one(sentence: str, characters: int) -> None:
    cut = shorten(sentence, characters)
    assert sentence.startswith(cut)
    assert len(cut) <= characters


def test_the_same_seed_prompt_and_attempt_give_the_same_answer() -> None:
    def answers(seed: int, attempt: int) -> list[str]:
        model = MockModel(seed=seed, latency=0, schema_violations=0.5)
        return [complete(model, f"{PROMPT} {n}", Brief, attempt=attempt).text for n in range(10)]

    assert answers(1, 1) == answers(1, 1)
    assert answers(1, 1) != answers(1, 2)
    assert answers(1, 1) != answers(2, 1)


def test_accidents_come_at_their_rates() -> None:
    model = MockModel(latency=0, malformed=0.2, schema_violations=0.2, refusals=0.2, errors=0.2)
    form = ValueConverter(Brief, "it")
    seen: Counter[str] = Counter()
    for n in range(500):
        try:
            reply = complete(model, f"{PROMPT} {n}", Brief)
        except (ConnectionResetError, RetryAfter):
            seen["error"] += 1
            continue
        if reply.finish == "refusal":
            seen["refusal"] += 1
            continue
        try:
            json.loads(reply.text)
        except ValueError:
            seen["malformed"] += 1
            continue
        try:
            form.read_text(reply.text, strict=True)
        except ValueError:
            seen["violation"] += 1
        else:
            seen["good"] += 1
    assert set(seen) == {"error", "refusal", "malformed", "violation", "good"}
    assert all(60 <= count <= 140 for count in seen.values()), seen


def test_text_that_is_malformed_says_that_it_was_cut() -> None:
    assert complete(MockModel(latency=0, malformed=1.0)).finish == "length"


def test_feedback_mends_an_invented_sentence() -> None:
    model = MockModel(latency=0, ungrounded=1.0)
    bullets = json.loads(complete(model, PROMPT, Brief).text)["bullets"]
    invented = [bullet for bullet in bullets if bullet not in FLAT]
    assert len(invented) == 1
    again = json.loads(complete(model, PROMPT, Brief, attempt=2, feedback=(f"not in the source: {invented[0]}",)).text)
    assert all(bullet in FLAT for bullet in again["bullets"])


def test_a_sentence_that_feedback_quotes_is_left_out() -> None:
    first = value(PROMPT, list[str])
    second = value(PROMPT, list[str], feedback=(f"this is wrong: {first[0]}",))
    assert first[0] not in second


@pytest.mark.parametrize(("words", "most"), [("at most two bullets", 2), ("use at most 1 bullet", 1)])
def test_feedback_that_bounds_a_list_is_obeyed(words: str, most: int) -> None:
    assert len(value(PROMPT, list[str], feedback=(words,))) == most


def test_scripted_replies_follow_the_attempt() -> None:
    part = Part(text="a", weight=1)
    model = MockModel(latency=0, replies=["text", part, {"a": 1}, ValueError("gone")])
    assert [complete(model, attempt=n).text for n in (1, 2, 3, 1)] == [
        "text",
        part.model_dump_json(),
        '{"a": 1}',
        "text",
    ]
    for attempt in (4, 5):
        with pytest.raises(ValueError, match="gone"):
            complete(model, attempt=attempt)


def test_latency_is_drawn_from_its_distribution_or_constant() -> None:
    def seconds(latency: float | tuple[float, float], n: int) -> float:
        started = time.perf_counter()
        complete(MockModel(latency=latency), f"{PROMPT} {n}")
        return time.perf_counter() - started

    assert min(seconds(0.02, n) for n in range(3)) >= 0.02
    drawn = [seconds((0.02, 1.0), n) for n in range(12)]
    assert min(drawn) < 0.02 < max(drawn)


def test_rates_that_cannot_be_are_refused() -> None:
    for rates in ({"errors": 1.5}, {"errors": -0.1}, {"errors": 0.6, "refusals": 0.6}):
        with pytest.raises(ValueError, match="rates lie between 0 and 1"):
            MockModel(**rates)
    with pytest.raises(ValueError, match="at least one reply"):
        MockModel(replies=[])


def test_its_repr_tells_its_seed_and_rates() -> None:
    assert repr(MockModel(seed=7, malformed=0.1)) == "<mock model: seed 7, malformed 0.1>"
    assert repr(MockModel(replies=["a"])) == "<mock model: scripted>"


def test_an_answer_is_told_in_pieces_across_its_latency_and_is_the_same() -> None:
    model = MockModel(latency=0.2, seed=3)
    pieces: list[tuple[float, str]] = []
    begun = time.monotonic()
    reply = complete(model, on_text=lambda piece: pieces.append((time.monotonic() - begun, piece)))
    assert "".join(piece for _, piece in pieces) == reply.text == complete(MockModel(latency=0, seed=3)).text
    assert len(pieces) > 5
    assert pieces[0][0] < 0.15
    assert pieces[-1][0] >= 0.15


def test_nothing_is_told_of_an_answer_that_is_an_error() -> None:
    pieces: list[str] = []
    with pytest.raises(ConnectionResetError):
        complete(MockModel(latency=0, replies=[ConnectionResetError("gone")]), on_text=pieces.append)
    assert pieces == []
