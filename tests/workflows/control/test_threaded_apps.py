"""An app whose import leaves a thread runs, in workers that are not forked, and the tree of actors says why."""

import os
import signal
from pathlib import Path
from typing import Any

from greenroom import Orchestrator
from tests.support import eventually

APP = """
import os
import threading
import time

from greenroom import tool, workflow

helper = threading.Thread(target=time.sleep, args=(1000,), name="helper", daemon=True)
helper.start()


@tool
def has_helper(turn: int) -> tuple[bool, int]:
    return helper.is_alive(), os.getpid()


@workflow
async def asked(turns: int) -> list[tuple[bool, int]]:
    return [await has_helper(turn) for turn in range(turns)]
"""


def test_an_app_that_leaves_a_thread_runs_and_the_tree_says_what_that_costs(tmp_path: Path) -> None:
    app = tmp_path / "threaded.py"
    app.write_text(APP, encoding="utf-8")
    with Orchestrator(tmp_path / "journal.db", home=tmp_path / "home") as orchestrator:
        found: Any = orchestrator.start_app(app, "asked", {"turns": 2}).result(60)
        assert [alive for alive, _ in found] == [True, True]
        (node,) = [each for each in orchestrator.tree().children if each.kind == "app"]
        assert f"{app} starts a thread while it is imported (helper)" in node.detail
        assert "each worker imports the app by itself" in node.detail
        zygote = int(node.detail.partition("zygote: pid ")[2].partition(",")[0])
        os.kill(zygote, signal.SIGKILL)
        eventually(lambda: "zygotes lost: 1" in orchestrator.tree().children[0].detail)
        again: Any = orchestrator.start_app(app, "asked", {"turns": 1}).result(60)
        assert [alive for alive, _ in again] == [True]
        assert again[0][1] not in {pid for _, pid in found}
