"""Settings of a user's process in which an orchestrator is open: what is changed meanwhile, and that it is given back."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support import ROOT

CHANGED = {"switch interval", "garbage thresholds", "RLIMIT_NOFILE", "RLIMIT_OFILE", "dumpable"}
"""What an orchestrator changes while it is open, where the user leaves what Python and shells begin with."""
AS_USUAL = """
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
gc.set_threshold(700, 10, 10)
"""


def embed(folder: Path, setup: str, meanwhile: str = "") -> list[dict[str, Any]]:
    """Run a script that opens two orchestrators, and closes the first one first; give its settings all along."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.supervision.process_settings_script", setup, meanwhile],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        capture_output=True,
        check=False,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def different(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    return {name for name in one if one[name] != other[name]}


def test_every_setting_is_given_back_when_the_last_orchestrator_closes(tmp_path: Path) -> None:
    before, both, one, after = embed(tmp_path, AS_USUAL)
    assert different(before, both) == CHANGED | {"threads"}
    assert different(before, one) == CHANGED | {"threads"}, "the one that is still open needs them"
    assert different(before, after) == set()


def test_a_setting_that_is_enough_stays_while_an_orchestrator_is_open(tmp_path: Path) -> None:
    setup = """
sys.setswitchinterval(0.00002)
gc.set_threshold(50_000, 20, 30)
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
_libc.prctl(4, 0, 0, 0, 0)
"""
    before, both, one, after = embed(tmp_path, setup)
    assert different(before, both) == different(before, one) == {"threads"}
    assert different(before, after) == set()


def test_collections_that_are_turned_off_stay_off_while_an_orchestrator_is_open(tmp_path: Path) -> None:
    before, both, _, after = embed(tmp_path, AS_USUAL + "gc.set_threshold(0); gc.disable()")
    assert different(before, both) == CHANGED - {"garbage thresholds"} | {"threads"}
    assert different(before, after) == set()


def test_what_the_user_sets_while_an_orchestrator_is_open_is_not_taken_back(tmp_path: Path) -> None:
    before, both, _, after = embed(tmp_path, AS_USUAL, "sys.setswitchinterval(0.002); gc.set_threshold(900, 5, 5)")
    own = {"switch interval", "garbage thresholds"}
    assert different(before, after) == own
    assert different(both, after) == CHANGED - own | {"threads"}
