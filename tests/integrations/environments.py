"""Environments with other versions of libraries, or with libraries that this project does not depend on."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def environment(folder: Path, *requirements: str) -> Path:
    """Make an environment with this project's dependencies and others; give its interpreter.

    The test is skipped where they cannot be installed, as without a network and a filled cache.
    """
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{Path(sys.prefix, 'bin')}") or shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed")
    python = folder / "bin" / "python"
    made = [uv, "venv", "--quiet", "--python", sys.executable, str(folder)]
    filled = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        str(python),
        "-r",
        str(ROOT / "pyproject.toml"),
        *requirements,
    ]
    for command in (made, filled):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"{' '.join(requirements)} cannot be installed: {done.stderr.strip()[-500:]}")
    return python
