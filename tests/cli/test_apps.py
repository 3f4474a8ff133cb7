"""Apps as they are typed: files, files in packages, modules; with the folder, the environment and the time they get."""

import os
import re
from pathlib import Path
from textwrap import dedent

import click
import pytest

from greenroom.cli.targets import find_app, parse_target

PACKAGED = {
    "shop/__init__.py": "",
    "shop/prices.py": "def price(thing: str) -> int:\n    return len(thing)\n",
    "shop/flows.py": """
        from __future__ import annotations

        import beside
        from . import prices
        from greenroom import receive, session, tool, workflow
        from pydantic import BaseModel


        @tool
        def ask_price(thing: str) -> int:
            return prices.price(thing) + beside.EXTRA


        @workflow
        async def buy(thing: str) -> int:
            return await ask_price(thing)


        @session
        async def till(state: Till, message: Sale) -> Till:
            state.sum += await ask_price(message.thing)
            return state


        class Sale(BaseModel):
            thing: str


        class Till(BaseModel):
            sum: int = 0
    """,
    "beside/__init__.py": "EXTRA = 100\n",
}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))


@pytest.fixture
def shop(greenroom):
    """Give a command line in the folder above a package, which imports another one that lies beside it."""
    write(greenroom.folder, PACKAGED)
    return greenroom


# ---------------------------------------------------------------- what is typed


def test_a_file_in_a_package_and_its_module_are_the_same_app(shop) -> None:
    assert shop.result_of("run", "shop/flows.py:buy", "-i", "thing=pen", "--id", "one") == 103
    assert shop.result_of("run", "shop.flows:buy", "-i", "thing=pen", "--id", "one") == 103
    (run,) = shop.result_of("runs", "list", "-o", "json")
    assert run["app"] == str(shop.folder / "shop" / "flows.py")


def test_every_verb_takes_it(shop) -> None:
    for target in ("shop/flows.py:till", "shop.flows:till"):
        reply = shop.result_of("sessions", "ask", target, "front", '{"thing": "pen"}')
    assert reply == {"sum": 206}
    shop("run", "shop.flows:buy", "-i", "thing=pen")
    assert shop.result_of("check", "shop.flows", "-o", "json") == []
    server = shop.start("serve", "shop.flows", "--port", "0")
    assert server.stdout.readline().startswith("serving on http://")
    shop("schedules", "create", "hourly", "shop/flows.py:buy", "-i", "thing=pen", "--every", "3600")
    (schedule,) = shop.result_of("schedules", "list", "-o", "json")
    assert schedule["workflow"] == "buy"


def test_the_files_beside_a_file_are_found_from_wherever_it_is_called(shop) -> None:
    write(
        shop.folder / "deep", {"app.py": "from beside_it import buy\n", "beside_it.py": "from shop.flows import buy\n"}
    )
    assert shop.result_of("run", "deep/app.py:buy", "-i", "thing=pen") == 103


def test_a_module_is_called_as_it_is_imported(greenroom) -> None:
    assert greenroom.result_of("run", "app:total", "-i", "a=1") == 2
    write(greenroom.folder, {"whole/__init__.py": "from app import total\n"})
    assert greenroom.result_of("run", "whole:total", "-i", "a=1") == 2


def test_what_is_nowhere_is_told_with_what_it_may_have_meant(greenroom) -> None:
    answer = greenroom("run", "ap:total", code=2)
    assert "there is no file 'ap'" in answer.err


@pytest.mark.parametrize("target", ["shop/flows.py", "shop.flows", "shop/flows.py:"])
def test_a_file_without_a_name_is_told_with_what_it_defines(shop, target) -> None:
    as_typed = target.removesuffix(":")
    answer = shop("run", target, code=2)
    assert f"{target!r} names no workflow; write {as_typed}:buy\n" in answer.err
    answer = shop("sessions", "tell", target, "front", "{}", code=2)
    assert f"{target!r} names no session; write {as_typed}:till\n" in answer.err


@pytest.mark.parametrize(
    ("code", "named"),
    [
        (
            "import greenroom\n\n@greenroom.workflow(version=2)\nasync def grow(): ...\n\n@other\ndef no(): ...\n",
            "x.py:grow",
        ),
        ("@workflow\nasync def one(): ...\n@workflow\nasync def two(): ...\n", "x.py:one or x.py:two"),
        ("@tools[0]\ndef odd(): ...\n", "FILE.py:NAME"),
        ("this is not Python", "FILE.py:NAME"),
        ("\0", "FILE.py:NAME"),
    ],
)
def test_a_file_is_read_for_its_names_and_never_run(tmp_path, monkeypatch, code, named) -> None:
    write(tmp_path, {"x.py": f"{code}\n"})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(click.BadParameter, match=f"; write {re.escape(named)}$"):
        parse_target("x.py")


def test_a_dotted_name_that_is_no_file_of_the_folder_stays_what_it_is(tmp_path, monkeypatch) -> None:
    write(tmp_path, {"loose/flows.py": "", "tight/__init__.py": "", "tight/flows.py": ""})
    monkeypatch.chdir(tmp_path)
    assert find_app("loose.flows", "FILE.py") == "loose.flows"
    assert find_app("tight.flows", "FILE.py") == str(tmp_path / "tight" / "flows.py")
    assert find_app("tight", "FILE.py") == str(tmp_path / "tight" / "__init__.py")


# ---------------------------------------------------------------- what it gets

KEYED = """
import os

from greenroom import tool, workflow

KEY = os.environ["SHOP_API_KEY"]


@tool
def look(name: str) -> str | None:
    return os.environ.get(name)


@workflow
async def seen(name: str) -> str | None:
    return await look(name)
"""


@pytest.fixture
def keyed(greenroom, monkeypatch):
    """Give a command line where an app needs a key to be imported, which is set."""
    (greenroom.folder / "keyed.py").write_text(KEYED)
    monkeypatch.setenv("SHOP_API_KEY", "shop-key-value")
    monkeypatch.setenv("PLAIN_SETTING", "plain")
    return greenroom


def test_an_import_that_misses_a_key_says_how_to_give_it_and_does_with_that(keyed) -> None:
    answer = keyed("run", "keyed.py:seen", "-i", "name=PLAIN_SETTING", code=2)
    assert "SHOP_API_KEY is set where the orchestrator runs, but kept from workers" in answer.err
    (option,) = re.findall(r"`(--env [^`]+)`", answer.err)
    assert "shop-key-value" not in answer.err
    assert keyed.result_of("run", "keyed.py:seen", "-i", "name=PLAIN_SETTING", *option.split()) == "plain"


def test_a_project_gives_it_to_every_command_below_it(keyed) -> None:
    (keyed.folder / "pyproject.toml").write_text('[tool.greenroom]\nenv = ["SHOP_API_KEY"]\n')
    (keyed.folder / "below").mkdir()
    keyed.folder = keyed.folder / "below"
    assert keyed.result_of("run", "../keyed.py:seen", "-i", "name=SHOP_API_KEY") == "shop-key-value"
    assert keyed.result_of("check", "../keyed.py", "-o", "json") == []
    server = keyed.start("serve", "../keyed.py", "--port", "0")
    assert server.stdout.readline().startswith("serving on http://")


def test_a_value_of_its_own_stays_out_of_the_log_where_it_is_a_secret(keyed) -> None:
    given = ("--env", "SHOP_API_KEY=from-the-line", "--env", "PLAIN_SETTING=other")
    assert keyed.result_of("run", "keyed.py:seen", "-i", "name=SHOP_API_KEY", *given) == "from-the-line"
    assert keyed.result_of("run", "keyed.py:seen", "-i", "name=PLAIN_SETTING", *given) == "other"
    assert "from-the-line" not in (keyed.home / "log.jsonl").read_text()


def test_a_variable_that_is_not_there_is_told_and_one_that_can_not_be_is_refused(keyed) -> None:
    answer = keyed("run", "keyed.py:seen", "-i", "name=X", "--env", "SHOP_API_KEY", "--env", "NOWHERE")
    assert "--env NOWHERE: there is no such variable here" in answer.err
    assert "no variable can be called ''" in keyed("run", "keyed.py:seen", "--env", "=x", code=2).err


def test_the_doctor_names_what_is_kept_from_workers(keyed) -> None:
    found = {one["check"]: one for one in keyed.result_of("doctor", "-o", "json")}["environment"]
    assert "SHOP_API_KEY" in found["found"]
    assert "PLAIN_SETTING" not in found["found"]
    (keyed.folder / "pyproject.toml").write_text('[tool.greenroom]\nenv = ["SHOP_API_KEY"]\n')
    found = {one["check"]: one for one in keyed.result_of("doctor", "-o", "json")}["environment"]
    assert "SHOP_API_KEY" not in found["found"]


SLOW = """
import os
from greenroom import workflow

with open(os.environ["GATE"]) as gate:
    gate.read()


@workflow
async def late() -> int:
    return 7
"""


@pytest.fixture
def slow(greenroom, monkeypatch):
    """Give a command line where the import of an app does not end before something is written to a gate."""
    (greenroom.folder / "slow.py").write_text(SLOW)
    os.mkfifo(greenroom.folder / "gate")
    monkeypatch.setenv("GATE", str(greenroom.folder / "gate"))
    return greenroom


def test_a_slow_import_says_so_and_where_it_is(slow) -> None:
    process = slow.start("run", "slow.py:late")
    line = next(line for line in process.stderr if "slow.py:" in line)  # on a busy machine it says less at first
    assert re.search(r"slow\.py waits for its app to be imported, since \d+ s, at \S+slow\.py:5$", line.rstrip()), line
    tree = slow("actors", "tree").out
    assert re.search(r"slow\.py  loading  .*waits for its app to be imported, since \d+ s, at \S+slow\.py:5", tree), (
        tree
    )
    (slow.folder / "gate").write_text("open")
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out.strip()) == (0, "7")


def test_an_import_that_takes_longer_than_it_may_is_told_with_its_line(slow) -> None:
    answer = slow("run", "slow.py:late", "--import-timeout", "3", code=2)
    assert "its import had not ended after 3 s, and was at " in answer.err
    assert "slow.py:5" in answer.err
    assert "--import-timeout" in answer.err
    (slow.folder / "pyproject.toml").write_text("[tool.greenroom]\nimport_timeout = 2.5\n")
    assert "had not ended after 2.5 s" in slow("run", "slow.py:late", code=2).err


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"loose/flows.py": "from . import prices\n"},
            "put an empty __init__.py beside it, or call it as the module loose.",
        ),
        ({"loose/flows.py": "import nowhere_at_all\n"}, "beside the file, in the working folder "),
        ({"loose/flows.py": "import sys\nsys.exit('set SHOP_API_KEY first')\n"}, "`--env SHOP_API_KEY`"),
        ({"loose/flows.py": "import os\nassert os.environ.get('SHOP_API_KEY')\n"}, "`--env SHOP_API_KEY`"),
        ({"loose/flows.py": "import os\nos.getenv('SHOP_API_KEY').strip()\n"}, "`--env SHOP_API_KEY`"),
    ],
)
def test_an_import_that_fails_says_what_can_be_done(greenroom, monkeypatch, files, sentence) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "shop-key-value")
    write(greenroom.folder, files)
    assert sentence in greenroom("run", "loose/flows.py:any", code=2).err


def test_an_import_that_asks_a_person_says_that_there_is_none(greenroom) -> None:
    (greenroom.folder / "asking.py").write_text("name = input('who? ')\n")
    assert "an app is imported without a terminal" in greenroom("run", "asking.py:any", code=2).err
