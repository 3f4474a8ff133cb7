"""A brief of a real document: split it, summarise its parts at once, check the bullets against it, write a file.

    python examples/brief.py                               # the document beside this file
    python examples/brief.py REPORT.txt --out BRIEF.md     # one of yours, with paragraphs between blank lines
    greenroom run examples/brief.py:brief -i path=REPORT.txt

The model is the embedded one, made to misbehave: some answers are cut off, some hold a sentence that is in no source.
The first kind does not fit the output type, the second is found by ``grounded``. Both are tried again, and the model is
told what was wrong. Leave ``model`` out of the ``LLM`` to use the one that ``GREENROOM_MODEL`` names.
"""

import argparse
import asyncio
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from greenroom import LLM, MockModel, Orchestrator, Retry, Score, evaluator, tool, workflow

QUICKLY = Retry(attempts=6, initial=0.05)


class Section(BaseModel):
    """One part of a document."""

    heading: str
    text: str


class Points(BaseModel):
    """What the model is to give for each part."""

    bullets: list[str] = Field(min_length=1, max_length=2)


class Brief(BaseModel):
    """What the workflow gives."""

    title: str
    bullets: dict[str, list[str]]
    file: str


@tool(retry=QUICKLY)
def split(path: str) -> list[Section]:
    """Read a document and cut it at its headings: paragraphs of one line that do not end like a sentence."""
    sections: list[Section] = []
    for paragraph in Path(path).read_text(encoding="utf-8").split("\n\n"):
        text = paragraph.strip()
        if text and "\n" not in text and text[-1] not in ".:!?":
            sections.append(Section(heading=text, text=""))
        elif text:
            if not sections:
                sections.append(Section(heading=Path(path).stem, text=""))
            sections[-1].text = f"{sections[-1].text}\n\n{text}".strip()
    return [section for section in sections if section.text]


@evaluator
def grounded(points: Points, call: dict[str, Any]) -> Score:
    """Say which share of the bullets is made of words that stand in the prompt, and which bullet is not."""
    source = words(call["args"][0])
    invented = [bullet for bullet in points.bullets if len(words(bullet) & source) < 0.9 * len(words(bullet))]
    value = 1.0 - len(invented) / len(points.bullets)
    return Score(value, reason="; ".join(f'not in the text: "{bullet}"' for bullet in invented))


summarise = LLM(
    "summarise",
    output=Points,
    instructions="Quote the most telling sentences. Add nothing of your own.",
    model=MockModel(seed=4, malformed=0.2, ungrounded=0.4),
    accept=[grounded],
    threshold=1.0,
    retry=QUICKLY,
)


@tool(retry=QUICKLY)
def write(file: str, text: str) -> int:
    """Write a file in one piece, so that a second attempt only does the same again; give its length."""
    draft = Path(f"{file}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)
    return len(text)


@workflow
async def brief(path: str, out: str = "brief.md") -> Brief:
    """Make a brief of the document at ``path`` and write it to ``out``."""
    sections = await split(path)
    points = await asyncio.gather(
        *(summarise.options(key=part.heading)(f"Summarise this part:\n\n{part.text}") for part in sections)
    )
    bullets = {part.heading: found.bullets for part, found in zip(sections, points, strict=True)}
    title = next(iter(bullets), Path(path).stem)
    blocks = [f"## {heading}\n\n" + "\n".join(f"- {bullet}" for bullet in found) for heading, found in bullets.items()]
    await write(out, "\n\n".join([f"# Brief: {title}", *blocks]) + "\n")
    return Brief(title=title, bullets=bullets, file=out)


def words(text: str) -> set[str]:
    """Give the words of a text in lower case."""
    return set(re.findall(r"\w+", text.lower()))


def main() -> None:
    """Run the workflow on the document named on the command line, then tell what happened on the way."""
    parser = argparse.ArgumentParser(description="Write a brief of a document.")
    parser.add_argument("document", nargs="?", type=Path, default=Path(__file__).with_name("understudies.txt"))
    parser.add_argument("--out", type=Path, default=Path("brief.md"))
    given = parser.parse_args()
    with Orchestrator() as orchestrator:
        run = orchestrator.start(brief, str(given.document.resolve()), str(given.out.resolve()))
        result = run.result(timeout=120)
        for step in run.steps():
            print(f"{step.key}: {', '.join(attempt.outcome or 'running' for attempt in step.attempts)}")
            for attempt in step.attempts:
                if attempt.error:
                    print(f"    attempt {attempt.number}: {attempt.error}")
            for evaluation in step.evaluations:
                if not evaluation.passed:
                    print(f"    {evaluation.name} gave {evaluation.score:.2f}: {evaluation.reason}")
        print(f"{sum(map(len, result.bullets.values()))} bullets, every one grounded, in {given.out}")


if __name__ == "__main__":
    main()
