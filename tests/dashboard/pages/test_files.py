"""The pages ask nobody else for anything, and need no token themselves."""

import re
from html.parser import HTMLParser

import httpx
import pytest
from starlette.routing import Route

from greenroom.dashboard.pages.files import router


class Sources(HTMLParser):
    """Collects what a page loads, and counts what a policy forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.found += [value for name, value in attrs if tag != "a" and name in {"src", "href"} and value]
        self.inline += (tag == "script" and "src" not in named) or tag == "style" or "style" in named
        self.inline += sum(name.startswith("on") for name in named)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_loads_its_own_files_alone_and_needs_no_token(server, path):
    with httpx.Client(base_url=server.url, trust_env=False) as stranger:
        answer = stranger.get(path)
        assert answer.headers["content-type"].startswith("text/html")
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
        assert {policy[each] for each in ("script-src", "style-src", "connect-src")} == {"'self'"}
        sources = Sources()
        sources.feed(answer.text)
        assert (len(sources.found), sources.inline) == (2, 0)
        for found in sources.found:
            assert stranger.get(f"/{found}").status_code == 200
        assert stranger.head(path).status_code == 200
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert stranger.get(path, headers=link).status_code == 200
        assert stranger.get(path, headers={"Host": "evil.example"}).status_code == 403
        assert stranger.get("/openapi.json").status_code == 401, "what it shows needs one"


def test_every_file_is_served_with_its_kind_and_names_no_other_server(server):
    paths = [route.path for route in router.routes if isinstance(route, Route) and route.path.startswith("/pages/")]
    assert "/pages/scripts/views/run.js" in paths
    with httpx.Client(base_url=server.url, trust_env=False) as stranger:
        for path in paths:
            file = stranger.get(path)
            kind = "text/css" if path.endswith(".css") else "text/javascript"
            assert (file.status_code, file.headers["content-type"].split(";")[0]) == (200, kind)
            assert not re.search(r"https?://|//[a-z]+\.|innerHTML|outerHTML|\beval\b|@import", file.text), path
            for loaded in re.findall(r'^import .* from "(.*)"', file.text, re.MULTILINE):
                assert str(httpx.URL(f"{server.url}{path}").join(loaded).path) in paths, (path, loaded)
