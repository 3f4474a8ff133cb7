"""A run that waits for workers which cannot be started says why."""

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from greenroom import Orchestrator
from greenroom.supervision.zygote.backend import ZygoteBackend
from tests.acceptance.apps.contract import authoring
from tests.support import eventually

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
    with Orchestrator(":memory:", home=tmp_path / "home") as orchestrator:
        run = orchestrator.start(authoring.sequential, 1)
        eventually(lambda: orchestrator.reads.run(run.id).reason, 30, what="the run's reason")
        with pytest.raises(TimeoutError, match=f"it goes on and is running now: {SENTENCE}"):
            run.result(timeout=0)
        with pytest.raises(TimeoutError, match=f"it goes on and is running now: {SENTENCE}"):
            asyncio.run(run.aio.result(timeout=0.01))
        exhausted = False
        assert run.result(timeout=60) == [1, 2, 4, 8]
        assert orchestrator.reads.run(run.id).reason is None
        later = orchestrator.start(authoring.sequential, 1)
        assert orchestrator.reads.run(later.id).reason is None
        assert later.result(timeout=60) == [1, 2, 4, 8]
