"""Pages of a running server in Chromium. Tests that need it are skipped where it is not installed."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import psutil
import pytest
from playwright.sync_api import Browser, Dialog, Locator, sync_playwright
from playwright.sync_api import Page as Tab
from playwright.sync_api import TimeoutError as OutOfPatience

from greenroom.dashboard.server import Server
from tests import support

FOLDER = Path(__file__).parents[3] / "dashboard" / "pages"
PATIENCE = 30_000  # milliseconds until a page shows what is waited for
SEEN = """() => {
  const shown = (selector) => [...document.querySelectorAll(selector)].filter((each) => each.checkVisibility());
  const text = shown("select").reduce((whole, each) => whole.replace(each.innerText, each.value), document.body.innerText);
  return [text, ...shown("input, textarea").map((each) => each.value)].join("\\n");
}"""
"""A function of what a person reads, what is chosen and typed included."""


class Chromium:
    """A browser without a window, and the thread in which Playwright speaks to it.

    Playwright leaves an event loop running in its thread, so that thread cannot be one in which tests run loops.
    """

    def __init__(self, path: str) -> None:
        """Start it."""
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="browser")
        before = set(support.descendants())
        self._playwright = self.thread.submit(lambda: sync_playwright().start()).result()
        self.browser: Browser = self.thread.submit(
            lambda: self._playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        ).result()
        support.SHARED.update(each.pid for each in psutil.Process().children() if each not in before)

    def close(self) -> None:
        """End it."""
        self.thread.submit(self.browser.close).result()
        self.thread.submit(self._playwright.stop).result()
        self.thread.shutdown()


P = ParamSpec("P")
R = TypeVar("R")


def in_its_thread(method: Callable[Concatenate["Page", P], R]) -> Callable[Concatenate["Page", P], R]:
    """Have a method of a page run in the browser's thread."""

    @wraps(method)
    def wrapper(self: "Page", *args: P.args, **kwargs: P.kwargs) -> R:
        return self.chromium.thread.submit(method, self, *args, **kwargs).result()

    return cast("Callable[Concatenate[Page, P], R]", wrapper)


class Page:
    """One page in one tab, and what a person does there."""

    def __init__(self, chromium: Chromium) -> None:
        """Open an empty tab that keeps what it is asked and what it asks for."""
        self.chromium = chromium
        self.asked: list[str] = []
        """Questions to the person, each answered with yes, and requests to the server, in the order they were made."""
        self.tab: Tab = chromium.thread.submit(self._open).result()

    def _open(self) -> Tab:
        tab = self.chromium.browser.new_page(locale="en-US")
        tab.set_default_timeout(PATIENCE)
        tab.on("dialog", self._answer)
        tab.on("request", lambda request: self._note(request.method, request.url))
        return tab

    def _answer(self, dialog: Dialog) -> None:
        self.asked.append(dialog.message)
        dialog.accept()

    def _note(self, method: str, url: str) -> None:
        path = "/" + url.split("/", 3)[3]
        if not path.startswith("/pages/") and path not in {"/", "/docs", "/favicon.ico"}:
            self.asked.append(f"{method} {path}")

    def _within(self, within: tuple[str, ...]) -> Tab | Locator:
        """Find the innermost part of the page that shows the first text, in there the one that shows the next."""
        place: Tab | Locator = self.tab
        for text in within:
            place = place.locator("tr, article, section, form, details").filter(has_text=text).last
        return place

    @property
    @in_its_thread
    def text(self) -> str:
        """What a person sees, fields included."""
        return str(self.tab.evaluate(SEEN))

    @property
    @in_its_thread
    def hash(self) -> str:
        """The address behind the server's."""
        return str(self.tab.evaluate("location.hash"))

    @property
    @in_its_thread
    def focused(self) -> str:
        """The text of what has the focus."""
        return str(self.tab.evaluate("document.activeElement.textContent"))

    @in_its_thread
    def visit(self, url: str) -> None:
        """Go to an address."""
        self.tab.goto(url)

    @in_its_thread
    def open(self, hash: str) -> None:  # noqa: A002  the address's own word
        """Change the address behind the server's."""
        self.tab.evaluate("(hash) => { location.hash = hash; }", hash)

    @in_its_thread
    def click(self, text: str, *within: str) -> None:
        """Press a button, as soon as it can be pressed."""
        self._within(within).get_by_role("button", name=text, exact=True).first.click()

    @in_its_thread
    def follow(self, text: str) -> None:
        """Follow a link."""
        self.tab.get_by_role("link", name=text, exact=True).first.click()

    @in_its_thread
    def type(self, label: str, text: str, *within: str) -> None:
        """Fill a field, or choose what a list offers."""
        field = self._within(within).get_by_label(label).first
        if field.evaluate("(field) => field.tagName") == "SELECT":
            field.select_option(text)
        else:
            field.fill(text)

    @in_its_thread
    def unfold(self, text: str, *within: str) -> None:
        """Open what is folded, if it is not open."""
        summary = self._within(within).locator("summary").filter(has_text=text).first
        summary.wait_for()
        if not summary.evaluate("(summary) => summary.parentElement.open"):
            summary.click()

    @in_its_thread
    def unfold_all(self) -> None:
        """Open all that is folded."""
        self.tab.evaluate('for (const each of document.querySelectorAll("details")) each.open = true')

    @in_its_thread
    def count(self, selector: str) -> int:
        """Return how many elements a selector finds."""
        return self.tab.locator(selector).count()

    @in_its_thread
    def shows(self, *texts: str) -> None:
        """Wait until a person sees these texts."""
        for text in texts:
            self._wait(text, there=True)

    @in_its_thread
    def hides(self, text: str) -> None:
        """Wait until a person does not see a text any more."""
        self._wait(text, there=False)

    def _wait(self, text: str, *, there: bool) -> None:
        script = f"([text, there]) => ({SEEN})().includes(text) === there"
        try:
            self.tab.wait_for_function(script, arg=[text, there])
        except OutOfPatience:
            pytest.fail(f"{'no ' if there else ''}{text!r} after {PATIENCE / 1000} s in:\n{self.tab.evaluate(SEEN)}")

    @in_its_thread
    def visit_files(self) -> None:
        """Go to an empty page beside the pages' files, without a server."""
        self.tab.route("http://pages/**", lambda route: route.fulfill(path=FOLDER.parent / route.request.url[13:]))
        self.tab.route("http://pages/", lambda route: route.fulfill(body="", content_type="text/html"))
        self.tab.goto("http://pages/")

    @in_its_thread
    def call(self, script: str, function: str, *args: Any) -> Any:
        """Return what a function of one of the pages' scripts returns."""
        call = "async ([script, name, args]) => (await import(script))[name](...args)"
        return self.tab.evaluate(call, [f"/pages/scripts/{script}", function, args])

    @in_its_thread
    def close(self) -> None:
        """Close the tab."""
        self.tab.context.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """Give the browser."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("it needs Chromium, which opens the pages: apt-get install chromium")
    opened = Chromium(path)
    yield opened
    opened.close()


@pytest.fixture
def tab(chromium: Chromium) -> Iterator[Callable[[], Page]]:
    """Give what opens an empty tab."""
    opened: list[Page] = []

    def tab() -> Page:
        opened.append(Page(chromium))
        return opened[-1]

    yield tab
    for page in opened:
        page.close()


@pytest.fixture
def browse(server: Server, tab: Callable[[], Page]) -> Callable[..., Page]:
    """Give what opens a page of the server and types the token."""

    def browse(path: str = "/", token: str = server.token.value, url: str = server.url) -> Page:
        page = tab()
        page.visit(url + path)
        page.type("Token", token)
        page.click("Show")
        return page

    return browse


@pytest.fixture
def scripts(tab: Callable[[], Page]) -> Callable[..., Any]:
    """Give what calls a function of one of the pages' scripts: ``scripts("schemas.js", "exampleOf", schema)``."""
    page = tab()
    page.visit_files()
    return page.call
