"""A page of a running server, in as much of a browser as it needs. Needs node."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom.dashboard.server import Server

FOLDER = Path(__file__).parents[3] / "dashboard" / "pages"


class Page:
    """One page in one tab."""

    def __init__(self, folder: Path, name: str, url: str) -> None:
        """Open it."""
        self._process = subprocess.Popen(
            ["node", "--harmony-json-parse-with-source", str(Path(__file__).parent / "browser.mjs"), folder, name, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.hash = ""

    def do(self, deed: str, **given: Any) -> Any:
        """Do what a person does, and return what was asked for, if anything."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": deed, **given}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        self.hash, self.text = answer["hash"], answer["text"]
        assert "error" not in answer, answer["error"]
        return answer["found"]

    def shows(self, *texts: str) -> None:
        """Wait until a person sees these texts."""
        for text in texts:
            self.do("until", text=text)

    def close(self) -> None:
        """Close the tab."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def browse(server: Server, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Give what opens a page and types the token."""
    if shutil.which("node") is None:
        pytest.skip("it needs node, to run the pages' scripts")
    folder = tmp_path / "pages"
    shutil.copytree(FOLDER, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    opened: list[Page] = []

    def browse(name: str, token: str = server.token.value, url: str = server.url) -> Page:
        page = Page(folder, name, url)
        opened.append(page)
        page.do("type", label="token", text=token)
        page.do("submit", text="Show")
        return page

    yield browse
    for page in opened:
        page.close()
