"""An orchestrator as an ordinary user: becomes one where it is root, runs one workflow, and prints what came of it.

Arguments: the home, the backend, the names given to every pool, the workflow, its arguments.
"""

import json
import os
import sys
from pathlib import Path

import psutil  # noqa: F401  before it may be where this user cannot read

from greenroom import Orchestrator, RunFailed
from greenroom.journal.sqlite.schema import migrations
from greenroom.metrics import log
from greenroom.metrics.samples import sample
from greenroom.supervision.jobs import Pool
from greenroom.supervision.kernel import linux
from tests.acceptance.apps.contract import secretive

NOBODY = 65534


def main(home: str, backend: str, common: str, name: str, *arguments: str) -> None:
    migrations()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        linux.set_dumpable(True)  # as a process of this user's that was started as one
    every = tuple(filter(None, common.split(",")))
    pools = {kind: Pool(env=every, backend=backend) for kind in ("program", "tool", "evaluator")}  # type: ignore[arg-type]
    pools["llm"] = Pool(env=("PLANTED_LLM", *every), backend=backend)  # type: ignore[arg-type]
    log.configure(level="DEBUG", path=Path(home) / "log.jsonl")
    before = linux.is_dumpable()
    with Orchestrator(home=home, pools=pools) as orchestrator:
        within = linux.is_dumpable()
        run = orchestrator.start(getattr(secretive, name), *arguments)
        try:
            result = run.result(timeout=50)
        except RunFailed as error:
            result = str(error)
        steps = [record.model_dump(mode="json") for record in run.steps()]
        workers = orchestrator.workers()
        sizes = [worker.rss_bytes for worker in workers]
        seen = {pid: item.rss_bytes for pid, item in sample([worker.pid for worker in workers]).items()}
        print(json.dumps({"result": result, "steps": steps, "sizes": sizes, "seen": list(seen.values())}))
    print(json.dumps([before, within, linux.is_dumpable()]))


if __name__ == "__main__":
    main(*sys.argv[1:])
