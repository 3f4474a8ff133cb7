"""What is built is what is in the tree, and it works where only the wheel is installed."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.test_layout import FOLDERS, ROOT

SHIPPED = {".py", ".txt", ".typed", ".sql", ".html", ".css", ".js"}

UNTYPED = """
from greenroom import Retry, RunFailed, run, tool, workflow

@tool(retry=Retry(attempts=1))
def letters():
    return {"a"}

@workflow
async def spell() -> int:
    return len(await letters())

try:
    run(spell)
except RunFailed as failure:
    print(failure)
"""
"""Fails where only code of the package runs, which an installed package has among the libraries."""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False, env=os.environ | environment
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of what git tracks, links as links: what a stranger's clone has."""
    copy = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_symlink() or (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    return copy


@pytest.fixture(scope="module")
def wheels(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give a wheel built from the checkout and one built from the checkout's sdist."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir"]
    run(*build, out / "tree", "--wheel", ".", cwd=checkout)
    shutil.rmtree(checkout / "build")  # what an earlier build left must not get into the next one
    run(*build, out / "sdist", "--sdist", ".", cwd=checkout)
    (sdist,) = (out / "sdist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(out / "unpacked", filter="data")
    (unpacked,) = (out / "unpacked").iterdir()
    run(*build, out / "from-sdist", "--wheel", ".", cwd=unpacked)
    return {name: next((out / name).glob("*.whl")) for name in ("tree", "from-sdist")}


@pytest.mark.slow
@pytest.mark.parametrize("source", ["tree", "from-sdist"])
def test_a_wheel_holds_every_file_of_every_package_and_nothing_else(
    wheels: dict[str, Path], checkout: Path, source: str
) -> None:
    expected = set()
    for package, folder in [*FOLDERS.items(), ("greenroom", "greenroom")]:
        for directory, _, names in os.walk(checkout / folder):
            inside = Path(*package.split(".")) / Path(directory).relative_to(checkout / folder)
            expected |= {str(inside / name) for name in names if Path(name).suffix in SHIPPED}
    with zipfile.ZipFile(wheels[source]) as wheel:
        found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize("source", ["tree", "from-sdist"])
def test_an_installed_wheel_imports_whole_and_answers(wheels: dict[str, Path], tmp_path: Path, source: str) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    # The dependencies come from where the tests have theirs: a path line, which does not run that folder's own .pth
    # files, so an editable install of the checkout there stays invisible here.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    with zipfile.ZipFile(wheels[source]) as wheel:
        wheel.extractall(site)
        names = sorted(name for name in wheel.namelist() if name.endswith(".py"))
    modules = [name.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for name in names]
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    module = importlib.import_module(name)\n"
        "    assert module.__file__.startswith(sys.prefix), module.__file__\n"
    )
    run(python, "-W", "error", "-c", script, *modules, cwd=tmp_path, PYTHONPATH="")
    assert "greenroom" in run(python, "-m", "greenroom", "version", cwd=tmp_path, PYTHONPATH="")
    (tmp_path / "app.py").write_text(UNTYPED)
    assert run(python, "app.py", cwd=tmp_path, PYTHONPATH="").endswith(f"({tmp_path}/app.py:4)\n")
