"""The built-in default model. It works on real text, and fails like a real provider at rates that can be set.

It needs no network and no key. Its answers consist of sentences of the prompt, so a judge can check them against the
source as with any model.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Final, Literal

from pydantic import BaseModel

from greenroom.actors.models import ModelReply, ModelRequest
from greenroom.actors.models.embedded.extract import Material, rank, read_prompt
from greenroom.actors.models.embedded.filling import Filler
from greenroom.actors.models.embedded.mock_calls import mock_calls, tool_results
from greenroom.messages.core import times
from greenroom.messages.core.errors import RetryAfter
from greenroom.messages.core.message import Shown
from greenroom.messages.core.times import Seconds
from greenroom.messages.options.policy import Price
from greenroom.messages.transcript import AssistantMessage

_SUMMARY_SENTENCES: Final = 3
_LIST_LENGTH: Final = 4
_QUOTED: Final = 40
"""Leading characters of a sentence; feedback that quotes them is about that sentence."""
_AT_MOST: Final = re.compile(r"\bat most (\d+|one|two|three|four|five|six|seven|eight|nine|ten)\b", re.IGNORECASE)
_NUMERALS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_INVENTED: Final = "Experts everywhere agree that this changes everything."
_REFUSAL: Final = "I am sorry, but I cannot help with that."
_CHARACTERS_PER_TOKEN: Final = 4
_PIECES: Final = 20
"""Most pieces in which an answer is streamed."""
_WORDS: Final = re.compile(r"\s*\S+\s*")


class MockModel:
    """A model that answers from its prompt, deterministically.

    The answer depends only on ``seed``, prompt and attempt number, not on the worker. Text answers are the most
    important sentences of the source. For an output schema, the fields are filled from the source. Feedback is
    followed: quoted sentences are left out, and "at most five" is obeyed.

    Args:
        seed: Seed of the random failures, and of choices that the text leaves open.
        latency: Seconds per answer: a constant, or median and sigma of a lognormal distribution.
        malformed: Share of answers that are cut off: half a JSON document, or text without its end.
        schema_violations: Share of answers that are complete but do not fit: a field of a wrong type, or empty text.
        refusals: Share of answers that are refusals.
        errors: Share of calls that raise instead of answering: a connection reset, or a request to slow down.
        ungrounded: Share of answers to prompts without feedback that contain an invented sentence.
        replies: Scripted answers that replace all of this. The n-th answers the n-th attempt of every call; the last
            one answers all further attempts. Text is returned unchanged, a pydantic model or other value as JSON, and
            an exception is raised. A ``ModelReply`` is returned as it is, so it may ask for tools. In a conversation,
            or with tools, the n-th instead answers what already holds n - 1 answers of a model: those of the history
            count, those that a summary has replaced do not.
        price: US dollars per million input tokens and per million output tokens.
        name: Name by which its requests are limited.

    Raises:
        ValueError: A share is not between 0 and 1, or they add up to more than 1; or the price is not two numbers.
    """

    def __init__(  # noqa: PLR0913  one for each thing that can be set
        self,
        *,
        seed: int = 0,
        latency: Seconds | tuple[Seconds, float] = (0.05, 0.4),
        malformed: float = 0.0,
        schema_violations: float = 0.0,
        refusals: float = 0.0,
        errors: float = 0.0,
        ungrounded: float = 0.0,
        replies: Sequence[Shown | BaseModel | BaseException | ModelReply] | None = None,
        price: tuple[float, float] = (0.0, 0.0),
        name: str = "mock",
    ) -> None:
        """Set the rates."""
        self.name = name
        self.price = Price.of(price) or Price()
        self.seed = seed
        self.latency = (
            (times.seconds(latency[0], "the latency of a MockModel"), latency[1])
            if isinstance(latency, tuple)
            else times.seconds(latency, "the latency of a MockModel")
        )
        self._rates = {
            "error": errors,
            "refusal": refusals,
            "malformed": malformed,
            "violation": schema_violations,
            "ungrounded": ungrounded,
        }
        self._replies = None if replies is None else tuple(replies)
        if any(not 0.0 <= rate <= 1.0 for rate in self._rates.values()) or sum(self._rates.values()) > 1.0:
            msg = f"rates lie between 0 and 1 and add up to at most 1, unlike {self._rates}"
            raise ValueError(msg)
        if self._replies == ():
            msg = "replies need at least one reply"
            raise ValueError(msg)

    def __repr__(self) -> str:
        """Return a short description of the model's settings."""
        rates = ", ".join(f"{name} {rate:g}" for name, rate in self._rates.items() if rate)
        how = "scripted" if self._replies is not None else f"seed {self.seed}"
        return f"<mock model: {how}{f', {rates}' if rates else ''}>"

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Answer a request.

        Raises:
            ConnectionResetError: At the rate of ``errors``.
            RetryAfter: At the rate of ``errors``.
        """
        digest = hashlib.sha256(f"{self.seed}\0{request.attempt}\0{request.prompt}".encode("utf-8", "replace")).digest()
        random = Random(digest)  # noqa: S311  reproducible accidents are the point
        seconds = self._seconds(random)
        if request.on_text is None:
            await asyncio.sleep(seconds)
            return self._reply_to(request, random)
        try:
            reply = self._reply_to(request, random)
        except Exception:
            await asyncio.sleep(seconds)
            raise
        await _tell(reply.text, seconds, request.on_text)
        return reply

    def _reply_to(self, request: ModelRequest, random: Random) -> ModelReply:
        if self._replies is not None:
            number = _number(request, self._replies)
            return self._scripted(request, self._replies[min(number, len(self._replies) - 1)])
        accident = self._accident(random)
        if accident == "error":
            if random.random() < 0.5:  # noqa: PLR2004  equal odds
                raise RetryAfter(0.1, "the mock provider answered 429: too many requests")
            msg = "the mock provider reset the connection"
            raise ConnectionResetError(msg)
        if accident == "refusal":
            return self._reply(request, _REFUSAL, "refusal")
        if calls := mock_calls(request, random):
            return replace(self._reply(request, ""), calls=calls)
        text = _answer(request, random, invent=accident == "ungrounded" and not request.feedback)
        if accident == "malformed":
            cut = text[: max(1, int(len(text) * random.uniform(0.3, 0.8)))]
            return self._reply(request, cut, "length" if request.schema is None else "stop")
        if accident == "violation":
            text = "" if request.schema is None else _spoil(text)
        return self._reply(request, text)

    def _reply(
        self, request: ModelRequest, text: str, finish: Literal["stop", "length", "refusal"] = "stop"
    ) -> ModelReply:
        """Return a reply with its price, cut off at the most tokens that the request or its settings allow."""
        own = request.settings.get("max_tokens")
        limits = [most for most in (request.max_tokens, own) if isinstance(most, int)]
        if limits and len(text) > min(limits) * _CHARACTERS_PER_TOKEN:
            text, finish = text[: min(limits) * _CHARACTERS_PER_TOKEN], "length"
        tokens = _tokens(request, text)
        return ModelReply(text, finish, *tokens, usd=self.price.usd(*tokens))

    def _scripted(self, request: ModelRequest, reply: Shown | BaseModel | BaseException | ModelReply) -> ModelReply:
        """Return a reply of the script. One that is a ``ModelReply`` has tokens and a price of its own, or ours."""
        if not isinstance(reply, ModelReply):
            return self._reply(request, _script(reply))
        if reply.usd is not None or reply.input_tokens or reply.output_tokens:
            return reply
        counted = self._reply(request, reply.text)
        return replace(reply, usd=counted.usd, input_tokens=counted.input_tokens, output_tokens=counted.output_tokens)

    def _seconds(self, random: Random) -> float:
        if isinstance(self.latency, tuple):
            median, sigma = self.latency
            return median * random.lognormvariate(0.0, sigma)
        return self.latency

    def _accident(self, random: Random) -> str | None:
        draw = random.random()
        for name, rate in self._rates.items():
            draw -= rate
            if draw < 0:
                return name
        return None


async def _tell(text: str, seconds: float, on_text: Callable[[str], None]) -> None:
    """Hand over a text in pieces, spread over some seconds, as a model does that streams."""
    words = _WORDS.findall(text)
    size = max(1, -(-len(words) // _PIECES))
    pieces = ["".join(words[start : start + size]) for start in range(0, len(words), size)]
    for piece in pieces:
        await asyncio.sleep(seconds / len(pieces))
        on_text(piece)
    if not pieces:
        await asyncio.sleep(seconds)


def _answer(request: ModelRequest, random: Random, *, invent: bool) -> str:
    """Answer from the material, with one invented sentence if ``invent``."""
    material = read_prompt("\n\n".join(tool_results(request)) or request.prompt)
    feedback = "\n".join(request.feedback).lower()
    kept = tuple(sentence for sentence in material.sentences if sentence[:_QUOTED].lower() not in feedback)
    material = Material(material.task, material.heading, kept or material.sentences)
    most = _at_most(feedback)
    if request.schema is None:
        best = sorted(rank(material.sentences, material.task)[: min(most or _SUMMARY_SENTENCES, _SUMMARY_SENTENCES)])
        return " ".join([*(material.sentences[index] for index in best), *([_INVENTED] if invent else [])])
    value = Filler(request.schema, material, random, most or _LIST_LENGTH).fill()
    if invent:
        _invent(value)
    return json.dumps(value, ensure_ascii=False)


def _at_most(feedback: str) -> int | None:
    found = _AT_MOST.search(feedback)
    if found is None:
        return None
    word = found.group(1)
    return max(1, int(word) if word.isdigit() else _NUMERALS.index(word))


def _invent(value: Shown) -> bool:
    """Replace the last text of the first list of texts by an invented sentence."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if isinstance(value, list) and value and isinstance(value[-1], str):
        value[-1] = _INVENTED
        return True
    return any(_invent(item) for item in inner)


def _spoil(text: str) -> str:
    """Turn JSON that fits the schema into JSON that does not."""
    value: Shown = json.loads(text)
    spoiled: Shown = {"unexpected": value}
    if isinstance(value, dict) and value:
        last = list(value)[-1]
        spoiled = {**value, last: {"unexpected": value[last]}}
    return json.dumps(spoiled, ensure_ascii=False)


def _number(request: ModelRequest, replies: Sequence[object]) -> int:
    """Return which reply of a script answers a request, from 0.

    In a conversation, answers and rejected answers before this one count. An attempt that was cut off does not, but
    takes the place of an exception of the script.
    """
    if not request.tools and len(request.messages) == 1:
        return request.attempt - 1
    answers = sum(isinstance(message, AssistantMessage) for message in request.messages) + len(request.feedback)
    failed = request.attempt - 1 - len(request.feedback)
    for number, reply in enumerate(replies):
        if not isinstance(reply, BaseException):
            if not answers:
                return number
            answers -= 1
        elif not answers:
            if not failed:
                return number
            failed -= 1
    return len(replies)


def _script(reply: Shown | BaseModel | BaseException) -> str:
    if isinstance(reply, BaseException):
        raise reply
    if isinstance(reply, BaseModel):
        return reply.model_dump_json()
    return reply if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False)


def _tokens(request: ModelRequest, text: str) -> tuple[int, int]:
    """Return the input and output tokens, at four characters each."""
    asked = len(request.instructions) + sum(map(len, request.feedback))
    asked += sum(len(message.text) for message in request.messages)
    return asked // _CHARACTERS_PER_TOKEN, len(text) // _CHARACTERS_PER_TOKEN
