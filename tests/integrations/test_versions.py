"""Durable agents with the lowest version of Pydantic AI that pyproject.toml allows, and with the newest one there is."""

import os
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.integrations.environments import ROOT, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

EXTRA = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["pydantic-ai"]
NAME = Requirement(EXTRA[0]).name
FILES = [f"tests/integrations/test_{each}.py" for each in ("durable_agents", "conversations", "budgets")]
TESTS = ("pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "packaging")


def lowest() -> str:
    """Give the requirement of the lowest version."""
    (requirement,) = [Requirement(text) for text in EXTRA]
    (least,) = [each.version for each in requirement.specifier if each.operator == ">="]
    return f"{requirement.name}=={least}.*"


@pytest.mark.parametrize("wanted", [lowest(), *EXTRA])
def test_agents_are_durable_with(wanted: str, tmp_path: Path) -> None:
    python = environment(tmp_path / "environment", wanted, *TESTS)
    show = f"import importlib.metadata; print(importlib.metadata.version({NAME!r}))"
    found = subprocess.run([str(python), "-c", show], capture_output=True, text=True, check=True).stdout.strip()
    if found == version(NAME):
        pytest.skip(f"{NAME} {found} is what this suite runs these tests with anyway")
    command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", "-n0", "-q", "-m", "not slow"]
    done = subprocess.run(
        [*command, f"--basetemp={tmp_path / 'tests'}", *FILES],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
