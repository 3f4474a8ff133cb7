"""Reading a prompt without a language model: what in it is material, its sentences, which of them matter.

Sentences are taken as they stand, so that whatever is made of them can be found in the source again.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, cast

_WORD: Final = re.compile(r"[^\W\d_][\w'-]*")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])")
_PARAGRAPH: Final = re.compile(r"\n\s*\n")
_MARKUP: Final = re.compile(r"^\s*(?:#{1,6}\s+|[-*+]\s+|>\s+|\d+[.)]\s+)")
_ORDER: Final = re.compile(
    r"(?:please\s+)?(?:write|summari[sz]e|list|extract|give|answer|classify|describe|explain|produce|return|"
    r"create|make|draft|rate|name|find|translate|compare|tell|say|condense|shorten|review|use|you are|what|which|"
    r"who|when|where|why|how)\b",
    re.IGNORECASE,
)
_COMMON: Final = frozenset(
    re.findall(
        r"\w+",
        "a about after all also an and any are as at be because been but by can could did do does each for from had "
        "has have he her his how i if in into is it its just like may more most much my no not of on one only or other "
        "our out over she so some such than that the their them then there these they this those through to too under "
        "up very was we were what when where which while who will with would you your",
    )
)
_SHORTEST: Final = 3
"""Words in a sentence that says something."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a prompt gives to work with.

    Attributes:
        task: What it asks for.
        heading: A title that the material brings along, or empty.
        sentences: The material, sentence by sentence.
    """

    task: str
    heading: str
    sentences: tuple[str, ...]


def read_prompt(prompt: str) -> Material:
    """Tell a prompt's task from its material.

    The material is the strings of a list, where the prompt holds one; else what follows the first paragraph or a first
    line that ends in a colon; else every sentence that is no order or question; else all of it.
    """
    start, listed = _listed(prompt)
    if listed:
        return Material(prompt[:start].strip(), "", _sentences(listed))
    task, body = _split(prompt)
    heading = next((_plain(line) for line in body.splitlines() if line.lstrip().startswith("#")), "")
    found = _sentences(paragraph for paragraph in _paragraphs(body) if _plain(paragraph) != heading)
    statements = found if task else tuple(sentence for sentence in found if not _ORDER.match(sentence))
    return Material(task or prompt, heading, statements or found or (prompt.strip(),))


def words(text: str) -> list[str]:
    """Give the words that carry meaning, in lower case."""
    return [word for word in (found.lower() for found in _WORD.findall(text)) if word not in _COMMON and len(word) > 2]  # noqa: PLR2004


def rank(sentences: Sequence[str], about: str = "") -> list[int]:
    """Order sentences by how much they matter, most first; give their positions.

    A sentence counts the frequency of its words in all of them, by the square root of its length; words of ``about``
    count more.
    """
    frequency = Counter(word for sentence in sentences for word in words(sentence))
    wanted = set(words(about))

    def weight(index: int) -> float:
        found = words(sentences[index])
        total = sum(frequency[word] * (3 if word in wanted else 1) for word in found)
        return float(total / max(1, len(found)) ** 0.5)

    return sorted(range(len(sentences)), key=lambda index: (-weight(index), index))


def keywords(sentences: Sequence[str], count: int) -> list[str]:
    """Give the words that stand out, in the spelling of the text."""
    spelled: dict[str, str] = {}
    frequency: Counter[str] = Counter()
    for sentence in sentences:
        for word in _WORD.findall(sentence):
            if word.lower() in _COMMON or len(word) <= 2:  # noqa: PLR2004  too short to stand out
                continue
            spelled.setdefault(word.lower(), word)
            frequency[word.lower()] += 1
    return [spelled[word] for word, _ in frequency.most_common(count)]


def shorten(sentence: str, characters: int) -> str:
    """Cut a sentence at a word, to at most so many characters; what is left is still found in the source."""
    if len(sentence) <= characters:
        return sentence
    cut = sentence[: characters + 1].rsplit(" ", 1)[0] if " " in sentence[: characters + 1] else sentence[:characters]
    return cut.rstrip(" ,;:-")


def _listed(prompt: str) -> tuple[int, list[str]]:
    """Find a list of strings as Python or JSON writes it, as an f-string leaves it in a prompt."""
    start, end = prompt.find("["), prompt.rfind("]")
    if 0 <= start < end:
        try:
            value = ast.literal_eval(prompt[start : end + 1])
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return -1, []  # brackets in prose
        items = cast("list[object]", value) if isinstance(value, list) else []
        texts = [item for item in items if isinstance(item, str)]
        if texts and len(texts) == len(items):
            return start, texts
    return -1, []


def _split(prompt: str) -> tuple[str, str]:
    """Cut a prompt into task and material: after its first line where that ends in a colon, or its first paragraph."""
    line, _, rest = prompt.partition("\n")
    if line.rstrip().endswith(":") and rest.strip():
        return line.strip(), rest.strip()
    parts = _PARAGRAPH.split(prompt.strip(), maxsplit=1)
    if len(parts) > 1 and (_ORDER.match(parts[0]) or parts[0].rstrip().endswith(":")):
        return parts[0].strip(), parts[1].strip()
    return "", prompt


def _paragraphs(text: str) -> list[str]:
    """Join the lines of a paragraph; headings and list items stand for themselves."""
    found: list[str] = []
    for block in _PARAGRAPH.split(text):
        running: list[str] = []
        for line in block.splitlines():
            if _MARKUP.match(line):
                found += [" ".join(running), line]
                running = []
            else:
                running.append(line.strip())
        found.append(" ".join(running))
    return [paragraph for paragraph in found if paragraph.strip()]


def _sentences(paragraphs: Iterable[str]) -> tuple[str, ...]:
    """Cut paragraphs into sentences, each once, those without a statement left out."""
    pieces = (piece.strip() for paragraph in paragraphs for piece in _SENTENCE_END.split(_plain(paragraph)))
    unique = dict.fromkeys(piece for piece in pieces if piece)
    telling = tuple(piece for piece in unique if len(piece.split()) >= _SHORTEST)
    return telling or tuple(unique)


def _plain(line: str) -> str:
    """Leave out the marks of headings, lists and quotations."""
    return _MARKUP.sub("", line).strip()
