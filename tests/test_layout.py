"""The folders at the top, the links, the tables of the build and the contracts must all name the same packages."""

import os
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = ROOT / "requirements.lock"
FOLDERS = {
    name: folder
    for name, folder in PROJECT["tool"]["setuptools"]["package-dir"].items()
    if name != "greenroom"  # the one package that stands where its name says
}
MODULES = sorted(
    Path(directory) / name
    for folder in [*FOLDERS.values(), "greenroom"]
    for directory, _, names in os.walk(ROOT / folder)  # which does not follow links
    for name in names
    if name.endswith(".py")
)


def module_name(path: Path) -> str:
    top, *rest = path.relative_to(ROOT).with_suffix("").parts
    package = next((package for package, folder in FOLDERS.items() if folder == top), top)
    return ".".join([package, *rest]).removesuffix(".__init__")


def locked() -> list[tuple[Requirement, list[str]]]:
    """Give each locked requirement and the options that stand behind it."""
    text = re.sub(r"^\s*#.*\n", "", LOCK.read_text(), flags=re.MULTILINE).replace("\\\n", "")
    lines = [re.split(r"\s+(?=--)", line.strip()) for line in text.splitlines()]
    return [(Requirement(requirement), options) for requirement, *options in lines]


def test_no_folder_has_more_than_a_dozen_files_and_folders() -> None:
    """One that has more is divided into folders, whose names then say what a dozen names of files cannot."""
    rooms: dict[Path, set[str]] = {}
    for path in MODULES:
        inside = path.relative_to(ROOT)
        for parent in list(inside.parents)[:-1]:
            rooms.setdefault(parent, set()).add(inside.relative_to(parent).parts[0])
    crowded = {str(folder): len(names - {"__init__.py"}) for folder, names in rooms.items()}
    assert {folder: number for folder, number in crowded.items() if number > 12} == {}


def test_no_folder_beside_the_product_has_more_than_a_dozen_modules() -> None:
    """The tests' rooms mirror those of the product, so that rooms of a folder do not count here."""
    folders = {path.parent for top in ("tests", "benchmarks", "examples") for path in (ROOT / top).rglob("*.py")}
    crowded = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in folders}
    assert len(crowded) > 50
    assert {folder: number for folder, number in crowded.items() if number > 12} == {}


@pytest.mark.parametrize("package", sorted(FOLDERS))
def test_every_package_is_a_folder_at_the_top_and_a_link_under_greenroom(package: str) -> None:
    link = ROOT / Path(*package.split("."))
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == ROOT / FOLDERS[package]
    assert (link / "__init__.py").is_file()


def test_there_is_no_link_that_the_build_does_not_know() -> None:
    links = {f"greenroom.{path.name}" for path in (ROOT / "greenroom").iterdir() if path.is_symlink()}
    assert links == set(FOLDERS)


def test_the_build_lists_every_folder_that_holds_modules() -> None:
    found = {module_name(path.parent / "__init__.py") for path in MODULES}
    assert found == set(PROJECT["tool"]["setuptools"]["packages"])


def test_every_package_at_the_top_has_layers_that_leave_no_module_out() -> None:
    contracts = [c for c in PROJECT["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    covered = {container for contract in contracts if contract["exhaustive"] for container in contract["containers"]}
    assert {package for package in PROJECT["tool"]["setuptools"]["packages"] if package.count(".") <= 1} <= covered


def test_bare_names_of_our_packages_are_banned_from_imports() -> None:
    banned = PROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    assert set(FOLDERS.values()) <= set(banned)


def test_the_lock_holds_versions_that_the_project_asks_for() -> None:
    versions = {requirement.name: str(requirement.specifier).removeprefix("==") for requirement, _ in locked()}
    groups = [*PROJECT["project"]["optional-dependencies"].values(), *PROJECT["dependency-groups"].values()]
    for text in [*PROJECT["project"]["dependencies"], *(text for group in groups for text in group)]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), text


def test_the_lock_pins_every_package_to_one_version_and_its_files_by_their_hashes() -> None:
    for requirement, options in locked():
        (pin,) = requirement.specifier
        assert pin.operator == "==", requirement
        assert not requirement.url
        assert options, requirement
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", option) for option in options), requirement


def test_the_lock_names_no_registry() -> None:
    lines = LOCK.read_text().splitlines()
    assert not [line for line in lines if "://" in line or line.startswith("-")]


def test_no_committed_file_names_the_host_of_a_registry() -> None:
    hosts = ["py" + "pi.org", "python" + "hosted.org", "npm" + "js.org"]  # apart, so as not to find this line
    patterns = [part for host in hosts for part in ("-e", host)]
    done = subprocess.run(
        ["git", "grep", "--cached", "-l", "-I", "-F", *patterns], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode > 1:
        pytest.skip("not a git checkout")
    assert not done.stdout


def test_no_module_imports_one_that_imports_it_inside_functions_or_not() -> None:
    """The contracts compare what stands in one folder; a package's own file and what lies below it are compared here."""
    graph = grimp.build_graph("greenroom", exclude_type_checking_imports=True, cache_dir=None)
    assert len(graph.modules) > 400
    TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules}).prepare()


@pytest.mark.timeout(600)
def test_the_modules_of_every_folder_can_be_imported_first() -> None:
    """An import that works only after another one is a cycle waiting for its day.

    A layer is tried with those below it in memory, which import nothing of it and cost most of the time.
    """
    layers = next(c for c in PROJECT["tool"]["importlinter"]["contracts"] if c["type"] == "layers")["layers"]
    folders: dict[str, list[str]] = {}
    for name in sorted((module_name(path) for path in MODULES), reverse=True):
        folders.setdefault(name.rpartition(".")[0], []).append(name)
    packages = [tuple(name.strip() for name in layer.split("|")) for layer in reversed(layers)]
    order = [[",".join(names) for names in folders.values() if names[0].startswith(layer)] for layer in packages]
    rest = [names for names in map(",".join, folders.values()) if not any(names in layer for layer in order)]
    script = (
        "import importlib, os, sys, warnings\n"
        "import apsw, fastapi, httpx, loguru, prometheus_client, psutil, pydantic, pykka, uvicorn\n"  # not ours: once
        "warnings.simplefilter('error')\n"
        "for layer in sys.argv[1:]:\n"
        "    for folder in layer.split():\n"
        "        child = os.fork()\n"
        "        if not child:\n"
        "            for name in folder.split(','):\n"
        "                importlib.import_module(name)\n"
        "            os._exit(0)\n"
        "        assert os.waitpid(child, 0)[1] == 0, folder\n"
        "    for folder in layer.split():\n"
        "        for name in folder.split(','):\n"
        "            importlib.import_module(name)\n"
    )
    command = [sys.executable, "-c", script, *(" ".join(layer) for layer in [*order, rest])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
