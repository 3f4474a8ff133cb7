"""Reading of a prompt without a language model: its task, its material, and the sentences that matter most.

Sentences are taken unchanged, so that a judge finds them again in the source.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, cast

from greenroom.messages.core.frozen import frozen

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
"""Fewest words of a sentence that counts as a statement."""


@frozen
class Material:
    """The parts of a prompt.

    Attributes:
        task: What the prompt asks for.
        heading: Title of the material, or empty.
        sentences: The material, sentence by sentence.
    """

    task: str
    heading: str
    sentences: tuple[str, ...]


def read_prompt(prompt: str) -> Material:
    """Separate a prompt's task from its material.

    The material is the strings of a list, if the prompt holds one. Otherwise it is what follows the first paragraph, or
    a first line that ends in a colon; otherwise every sentence that is neither an order nor a question; otherwise the
    whole prompt.
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
    """Return the words that carry meaning, in lower case."""
    return [word for word in (found.lower() for found in _WORD.findall(text)) if word not in _COMMON and len(word) > 2]  # noqa: PLR2004


def rank(sentences: Sequence[str], about: str = "") -> list[int]:
    """Return the positions of sentences in order of importance, most important first.

    A sentence's score is the frequency of its words in all sentences, divided by the square root of its length. Words
    of ``about`` count more.
    """
    frequency = Counter(word for sentence in sentences for word in words(sentence))
    wanted = set(words(about))

    def weight(index: int) -> float:
        found = words(sentences[index])
        total = sum(frequency[word] * (3 if word in wanted else 1) for word in found)
        return float(total / max(1, len(found)) ** 0.5)

    return sorted(range(len(sentences)), key=lambda index: (-weight(index), index))


def keywords(sentences: Sequence[str], count: int) -> list[str]:
    """Return the most frequent words, spelled as in the text."""
    spelled: dict[str, str] = {}
    frequency: Counter[str] = Counter()
    for sentence in sentences:
        for word in _WORD.findall(sentence):
            if word.lower() in _COMMON or len(word) <= 2:  # noqa: PLR2004  too short to be a keyword
                continue
            spelled.setdefault(word.lower(), word)
            frequency[word.lower()] += 1
    return [spelled[word] for word, _ in frequency.most_common(count)]


def shorten(sentence: str, characters: int) -> str:
    """Cut a sentence at a word to at most this many characters. The source still contains the rest."""
    if len(sentence) <= characters:
        return sentence
    cut = sentence[: characters + 1].rsplit(" ", 1)[0] if " " in sentence[: characters + 1] else sentence[:characters]
    return cut.rstrip(" ,;:-")


def _listed(prompt: str) -> tuple[int, list[str]]:
    """Return a list of strings in the prompt, written as Python or JSON writes it, such as by an f-string."""
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
    """Split a prompt into task and material: after a first line that ends in a colon, or after the first paragraph."""
    line, _, rest = prompt.partition("\n")
    if line.rstrip().endswith(":") and rest.strip():
        return line.strip(), rest.strip()
    parts = _PARAGRAPH.split(prompt.strip(), maxsplit=1)
    if len(parts) > 1 and (_ORDER.match(parts[0]) or parts[0].rstrip().endswith(":")):
        return parts[0].strip(), parts[1].strip()
    return "", prompt


def _paragraphs(text: str) -> list[str]:
    """Join the lines of each paragraph. Headings and list items stay separate."""
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
    """Split paragraphs into sentences, without repetitions and without those that state nothing."""
    pieces = (piece.strip() for paragraph in paragraphs for piece in _SENTENCE_END.split(_plain(paragraph)))
    unique = dict.fromkeys(piece for piece in pieces if piece)
    telling = tuple(piece for piece in unique if len(piece.split()) >= _SHORTEST)
    return telling or tuple(unique)


def _plain(line: str) -> str:
    """Remove the marks of headings, lists and quotations."""
    return _MARKUP.sub("", line).strip()
