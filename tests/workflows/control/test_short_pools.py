"""What lacks descriptors says so: a run that waits for workers which cannot be started, and an orchestrator."""

import asyncio
import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from greenroom import Orchestrator
from greenroom.supervision.zygote.backend import ZygoteBackend
from tests.acceptance.apps.contract import authoring
from tests.support import ROOT, eventually

SENTENCE = r"pool tool for \S+authoring has 0 of \d+ workers and cannot begin more: .*Too many open files"


def test_the_record_of_a_run_and_the_end_of_patience_say_why_it_gets_no_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn = ZygoteBackend.spawn
    exhausted = True

    def refuse(self: ZygoteBackend, spec: Any, listener: Any) -> Any:
        if exhausted and spec.kind == "tool":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return spawn(self, spec, listener)

    monkeypatch.setattr(ZygoteBackend, "spawn", refuse)
    heard: list[str] = []
    with Orchestrator(":memory:", home=tmp_path / "home") as orchestrator:
        orchestrator.on_delay(heard.append)
        run = orchestrator.start(authoring.sequential, 1)
        eventually(lambda: orchestrator.reads.run(run.id).reason, 30, what="the run's reason")
        with pytest.raises(TimeoutError, match=f"it goes on and is running now: {SENTENCE}"):
            run.result(timeout=0)
        with pytest.raises(TimeoutError, match=f"it goes on and is running now: {SENTENCE}"):
            asyncio.run(run.aio.result(timeout=0.01))
        assert re.match(SENTENCE, heard[0])
        assert "`ulimit -n 65536`" in heard[0]
        exhausted = False
        assert run.result(timeout=60) == [1, 2, 4, 8]
        assert orchestrator.reads.run(run.id).reason is None
        later = orchestrator.start(authoring.sequential, 1)
        assert orchestrator.reads.run(later.id).reason is None
        assert later.result(timeout=60) == [1, 2, 4, 8]


OPENING = """
import os, resource, sys
import greenroom.workflows.control.engine
from greenroom import Orchestrator
used = len(os.listdir("/proc/self/fd")) - 1
for left in (14, 10, 6, 2, 1, 0):
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + left, used + left))
    try:
        Orchestrator(home=sys.argv[1])
    except Exception as error:
        print(type(error).__name__, error)
"""
"""Opens an orchestrator with fewer and fewer descriptors left."""


def test_an_orchestrator_that_cannot_open_its_files_says_how_to_allow_more(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENING, str(tmp_path / "home")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert len(said) == 6
    assert all(
        re.match(r"JournalError .*\(Too many open files\): .*`ulimit -n 65536`, and start again", line) for line in said
    )
