"""What pages say without code is checked: their links, paths, promises and figures, and that each page is found."""

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from greenroom import Retry, tool
from greenroom.cli.app import root
from tests.pages import BLOCKS, DOCS, PAGES, README, ROOT, TEXTS, names, read, repeated, title

KINDS = {
    *("command", "excerpt", "program", "output", "stderr", "traceback", "after", "shown"),
    *("file", "shell", "tests", "serve", "curl", "client", "answer", "recipe"),
}
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
FOLDERS = "|".join(sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0].isalpha()))
PATH = re.compile(rf"(?<![\w./~-])(?:{FOLDERS})/(?:[\w.-]+/)*(?:[\w-]+\.\w+\b|(?=[`\s|,;:)]))")
PROMISE = re.compile(r"`(tests/\S+\.py)::(test_\w+)`")
README_BYTES = 12_000


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_block_says_how_it_is_checked(page: Path) -> None:
    """A block of plain text, such as a drawing, may go without; a program or a command may not."""
    found = [block for block in BLOCKS if block.page == title(page)]
    assert len(found) == len(re.findall(r"^```", read(page), re.MULTILINE)) / 2
    assert [block for block in found if block.kind not in KINDS and (block.kind, block.language) != ("", "text")] == []


def test_every_program_has_what_it_is_compared_with() -> None:
    assert repeated() == []
    assert sorted(names("program")) == sorted([*names("output"), *names("traceback")])
    assert sorted(names("client")) == sorted(names("answer"))
    assert sorted(names("after")) == sorted(names("shown"))


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    assert len(README.read_bytes()) <= README_BYTES
    links = {(ROOT / link).resolve() for link, _ in LINK.findall(read(README))}
    assert [title(page) for page in DOCS if page not in links] == []


@pytest.mark.parametrize("page", DOCS, ids=title)
def test_a_page_begins_with_one_sentence_that_says_what_it_is_for(page: Path) -> None:
    heading, first, *_ = read(page).split("\n\n")
    assert heading.startswith("# ")
    assert re.match(r"(?:This (?:page|document) is for|For) [^.]+\.(?: |$)", first.replace("\n", " ")), first


def anchors(page: Path) -> set[str]:
    """Return the names of a page's headings as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", read(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", TEXTS, ids=title)
def test_every_link_into_the_tree_leads_somewhere(page: Path) -> None:
    def dead() -> Iterator[str]:
        for link, anchor in LINK.findall(read(page)):
            target = (page.parent / link) if link else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                yield f"{link}#{anchor}"

    assert list(dead()) == []


@pytest.mark.parametrize("page", TEXTS, ids=title)
def test_every_path_that_is_named_exists(page: Path) -> None:
    assert [path for path in PATH.findall(read(page)) if not (ROOT / path).exists()] == []


def test_paths_are_found_in_commands_and_tables_and_prose() -> None:
    text = "`journal/no.py`, | `docs/` | greenroom run examples/no.py:brief, see tests/cli/no.py::test_x; ~/docs/no.md"
    assert PATH.findall(text) == ["journal/no.py", "docs/", "examples/no.py", "tests/cli/no.py"]


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_test_that_is_named_exists(page: Path) -> None:
    named = PROMISE.findall(read(page))
    assert [f"{path}::{name}" for path, name in named if f"def {name}(" not in read(ROOT / path)] == []


def test_every_promise_names_a_test() -> None:
    table = read(ROOT / "docs" / "promises.md").partition("| promise | test |\n|---|---|\n")[2].partition("\n\n")[0]
    assert len(table.splitlines()) > 20
    assert [line for line in table.splitlines() if not PROMISE.search(line)] == []


def test_the_folders_of_the_tree_are_the_ones_that_are_described() -> None:
    table = read(ROOT / "docs" / "development.md").partition("| folder | holds |")[2].partition("\n\n")[0]
    described = set(re.findall(r"`(\w+)/`", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))))
    found = {path.name for path in ROOT.iterdir() if path.is_dir() and any(path.glob("*.py")) and path.name[0] != "."}
    assert described - {"docs"} == found - {"build", "dist"}


def verbs(group: click.Group, *path: str) -> Iterator[str]:
    """Yield each verb of the command line with the words that lead to it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from verbs(found, *path, name)
        elif found is not None and not found.hidden:
            yield " ".join((*path, name))


def test_the_table_of_verbs_has_every_verb_of_the_command_line() -> None:
    table = read(ROOT / "docs" / "command-line.md").partition("| verb | does |\n|---|---|\n")[2].partition("\n\n")[0]
    described: set[str] = set()
    for cell in re.findall(r"^\| (`.*?`) \| ", table, re.MULTILINE):
        for usage in re.findall(r"`([^`]+)`", cell):
            verb, *rest = usage.split()
            is_group = isinstance(root.get_command(click.Context(root), verb), click.Group)
            described |= {f"{verb} {name}" for name in rest[0].split("\\|")} if is_group else {verb}
    assert described == set(verbs(root))


def used(words: list[str]) -> tuple[str, set[str]]:
    """Return the command that words lead to, and those of their options that it does not have."""
    command: click.Command = root
    path, known = "greenroom", {option for each in root.params for option in each.opts}
    for word in words:
        if isinstance(command, click.Group) and word.split("|")[0] in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), word.split("|")[0])
            assert found is not None
            command, path = found, f"{path} {word}"
            known |= {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    options = {option.strip("[]") for word in words for option in word.split("|") if option.startswith(("-", "[-"))}
    return path, {option.split("=")[0] for option in options} - known


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_option_of_a_command_that_is_named_exists(page: Path) -> None:
    text = read(page).replace("\\|", "|")
    table = text.partition("| verb | does |\n|---|---|\n")[2].partition("\n\n")[0]
    usages = [usage for line in table.splitlines() for usage in re.findall(r"`([^`]+)`", line.partition(" | ")[0])]
    usages += re.findall(r"(?:`|^)greenroom ([^`\n]+)", text, re.MULTILINE)
    found = [used(usage.split()) for usage in usages]
    assert [(path, unknown) for path, unknown in found if unknown] == []


def test_an_option_that_does_not_exist_is_found() -> None:
    assert used(["runs", "show", "ID", "--fellow"]) == ("greenroom runs show", {"--fellow"})
    assert used(["eval", "F", "--cases", "FILE|--rums", "[--judge]"]) == ("greenroom eval", {"--rums"})
    assert used(["db", "verify|reindex", "--home=x"]) == ("greenroom db verify|reindex", set())


def test_the_options_of_a_tool_are_those_of_its_signature() -> None:
    text = read(ROOT / "docs" / "writing-workflows.md")
    table = text.partition("| option of `@tool` | means | default |\n|---|---|---|\n")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    parameters = inspect.signature(tool).parameters
    named = sorted(name for row in rows for name in re.findall(r"`(\w+)`", row[0]))
    assert named == sorted({*parameters} - {"fn", "unknown"})
    shown = {row[0].strip("`"): row[2] for row in rows}
    for name in ("timeout", "crash_attempts", "once", "approve"):
        assert float(parameters[name].default) == float(shown[name].replace("False", "0")), name
    assert re.search(r"`(Retry\(.*\))`", table)[1] == signature_of_retry()


def signature_of_retry() -> str:
    shown = (f"{name}={getattr(Retry(), name)!r}" for name in Retry.model_fields)
    return f"Retry({', '.join(shown)})".replace("('builtins.Exception',)", "(Exception,)")


# ---------------------------------------------------------------- figures


@pytest.fixture(scope="module")
def titles() -> dict[str, str]:
    """Return what benchmarks/run.py calls each figure in its table, by the name that ``--only`` takes."""
    program = (
        "import json, sys; sys.path[:0] = ['benchmarks', '.']; from figures import FIGURES;"
        "print(json.dumps({name: f'{it.name} ({it.unit})' if it.unit else it.name for name, it in FIGURES.items()}))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def measured(page: Path) -> dict[str, float]:
    """Return the measured values in a printed table of benchmarks, by the first column."""
    lines = re.findall(r"^(\S.*?) {2,}\S+ +([\d.e+]+)!? +\S+ +\S+  \S.*$", read(page), re.MULTILINE)
    return {name: float(value) for name, value in lines}


def test_figures_of_the_readme_are_those_that_were_measured(titles: dict[str, str]) -> None:
    found = measured(ROOT / "benchmarks" / "README.md")
    rows = re.findall(
        r"^\| .+ \| ([\d.,]+)[^|]* \| `python benchmarks/run.py --only (\S+)` \|$", read(README), re.MULTILINE
    )
    assert len(rows) > 5
    for text, name in rows:
        digits = len(re.sub(r"[.,]", "", text).lstrip("0"))
        assert float(text.replace(",", "")) == float(f"{found[titles[name]]:.{digits}g}"), name


@pytest.mark.parametrize("page", TEXTS, ids=title)
def test_every_figure_that_is_named_can_be_measured(page: Path, titles: dict[str, str]) -> None:
    assert [name for name in re.findall(r"run\.py --only ([\w-]+)", read(page)) if name not in titles] == []
