"""The pages that people read, and the code blocks in them."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [README, *DOCS]
"""Pages whose code blocks are checked. A page that is added to ``docs/`` is found here by itself."""
TEXTS = sorted({*ROOT.glob("*.md"), *DOCS, *(ROOT / "benchmarks").glob("*.md")})
"""Texts whose links and paths are checked."""
BLOCK = re.compile(r"(?:^<!-- (\w+): (\S+) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced code block and the comment above it, which says how the block is checked."""

    page: str
    kind: str
    name: str
    language: str
    text: str


def read(page: Path) -> str:
    """Return the text of a page."""
    return page.read_text(encoding="utf-8")


def title(page: Path) -> str:
    """Return the path of a page in the repository, which is also its name in test reports."""
    return str(page.relative_to(ROOT))


BLOCKS = [Block(title(page), *found) for page in PAGES for found in BLOCK.findall(read(page))]


def block(kind: str, name: str) -> str:
    """Return the text of the one block of this kind and name, in whichever page it is."""
    (text,) = [found.text for found in BLOCKS if (found.kind, found.name) == (kind, name)]
    return text


def names(kind: str) -> list[str]:
    """Return the names of all blocks of a kind."""
    return [found.name for found in BLOCKS if found.kind == kind]


def repeated() -> list[tuple[str, str]]:
    """Return the kind and name of blocks that cannot be told apart."""
    return [key for key, count in Counter((found.kind, found.name) for found in BLOCKS).items() if count > 1 and key[0]]
