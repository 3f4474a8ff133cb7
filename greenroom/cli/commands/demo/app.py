"""The workflow of the demo: a brief of a document, written by steps that die, hang and answer badly on their first try.

An ordinary app like any user's. Its faults are real: a thread that waits for a lock that is never released, a model
whose first answer is broken JSON, and a step that is slow enough to be killed from outside while it works.
"""

import asyncio
import threading
import time
from dataclasses import replace
from pathlib import Path
from random import Random

from pydantic import BaseModel

from greenroom import LLM, MockModel, Retry, Score, current, evaluator, tool, workflow
from greenroom.actors.models import ModelReply, ModelRequest

FAULTY = 3
"""Number of sections with a fault: one is killed, one hangs, one gets a broken answer."""
SOON = Retry(attempts=4, initial=0.2, jitter=0.0)
SLOW = 8.0
"""Seconds that a slow first attempt takes unless it is killed. The demo kills it within one second."""


class Section(BaseModel):
    """A part of the document."""

    title: str
    text: str


class Point(BaseModel):
    """The model's answer about one section."""

    title: str
    sentence: str


class Brief(BaseModel):
    """The brief: one sentence for each section."""

    title: str
    points: list[Point]
    words: int


def note(effects: str) -> None:
    """Append one line, in one write, that names the step and the run that had an effect."""
    with Path(effects).open("a", encoding="utf-8") as file:
        file.write(f"{current().run_id} {current().step}\n")


@tool(timeout=10, retry=SOON)
def read(path: str, effects: str) -> list[Section]:
    """Read a document whose sections are a title, an empty line and a paragraph."""
    blocks = [block.strip() for block in Path(path).read_text(encoding="utf-8").split("\n\n") if block.strip()]
    note(effects)
    return [Section(title=title, text=text) for title, text in zip(blocks[::2], blocks[1::2], strict=True)]


@tool(timeout=60, retry=SOON)
def count_words(section: Section, slow: bool, effects: str) -> int:  # noqa: FBT001  as a user would write it
    """Count words; the first attempt may crawl, so that something can be killed in the middle of it."""
    words = 0
    crawls = slow and current().attempt == 1
    for word in section.text.split():
        words += bool(word)
        if crawls:
            Path(effects).with_suffix(".crawling").touch()  # shows the demo that the attempt has begun
            time.sleep(SLOW / 50)
    note(effects)
    return words


@tool(timeout=1.5, retry=SOON)
def find_numbers(section: Section, hang: bool, effects: str) -> list[str]:  # noqa: FBT001
    """Find the numbers in a section; the first attempt may wait for a lock that is never released."""
    lock = threading.Lock()
    lock.acquire()
    if hang and current().attempt == 1:
        lock.acquire()
    note(effects)
    return [word.strip(".,:") for word in section.text.split() if word[0].isdigit()]


@evaluator
def grounded(point: Point, call: dict[str, list[str]]) -> Score:
    """Score the share of the sentence's words that are in its section."""
    words = {word.strip(".,:;").lower() for word in point.sentence.split()}
    known = {word.strip(".,:;").lower() for word in call["args"][0].split()}
    share = len(words & known) / max(1, len(words))
    return Score(share, reason=f"{share:.0%} of its words stand in the source")


class Stammering(MockModel):
    """A model whose first answer to every question breaks off in the middle."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Answer the request; cut the first answer in half."""
        reply = await super().complete(request)
        return replace(reply, text=reply.text[: len(reply.text) // 2]) if request.attempt == 1 else reply


TASK = "Say in one sentence what the section is about."
write = LLM("write", output=Point, instructions=TASK, accept=[grounded], threshold=0.9, retry=SOON)
stammer = LLM(
    "stammer", output=Point, instructions=TASK, model=Stammering(), accept=[grounded], threshold=0.9, retry=SOON
)


@tool(timeout=10, retry=SOON)
def publish(brief: Brief, path: str, effects: str) -> str:
    """Write the brief to a file."""
    lines = [brief.title, "", *(f"- {point.title}: {point.sentence}" for point in brief.points)]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    note(effects)
    return path


@workflow
async def brief(document: str, out: str, effects: str, seed: int = 7, faults: bool = True) -> Brief:  # noqa: FBT001, FBT002
    """Write a brief of a document, its sections side by side.

    Args:
        document: Path of the text.
        out: Path of the brief.
        effects: Path of the file to which every tool appends a line when it has had its effect.
        seed: Selects the sections with faults.
        faults: Whether steps hang and answer badly. One step is slow at its first attempt in any case.
    """
    sections = await read(document, effects)
    slow, hung, garbled = Random(seed).sample(range(len(sections)), FAULTY)  # noqa: S311  the same on every replay

    async def look_at(number: int, section: Section) -> tuple[Point, int]:
        crawl, hang = number == slow, faults and number == hung
        count = count_words.options(key="crawls" if crawl else str(number))
        find = find_numbers.options(key="hangs" if hang else str(number))
        words, _, point = await asyncio.gather(
            count(section, crawl, effects),
            find(section, hang, effects),
            (stammer if faults and number == garbled else write)(f"{section.title}\n\n{section.text}"),
        )
        return point, words

    seen = await asyncio.gather(*(look_at(number, section) for number, section in enumerate(sections)))
    result = Brief(title=sections[0].title, points=[point for point, _ in seen], words=sum(words for _, words in seen))
    await publish(result, out, effects)
    return result


@workflow
async def hello() -> str:
    """Return at once: the shortest possible run."""
    return "hello"
