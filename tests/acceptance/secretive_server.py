"""An orchestrator that is served: runs workflows of ``secretive``, says who it has, and stays until its input ends.

Arguments: the home and the backend.
"""

import json
import sys
from pathlib import Path
from typing import Any

from greenroom import Orchestrator, RunFailed
from greenroom.dashboard.server import Server
from greenroom.metrics import log
from greenroom.supervision.jobs import Pool
from tests.acceptance.apps.contract import secretive


def main(home: str, backend: str) -> None:
    pools = {kind: Pool(backend=backend) for kind in ("program", "tool")}  # type: ignore[arg-type]
    pools["llm"] = Pool(env=("PLANTED_LLM",), backend=backend)  # type: ignore[arg-type]
    log.configure(level="DEBUG", path=Path(home) / "log.jsonl")
    with Orchestrator(home=home, pools=pools) as orchestrator, Server(orchestrator, port=0) as server:
        runs: list[Any] = [orchestrator.start(secretive.use), orchestrator.start(secretive.refused)]
        runs.append(orchestrator.start(secretive.slip, "raise"))
        runs.append(orchestrator.start(secretive.plainly))
        for run in runs:
            try:
                run.result(timeout=50)
            except RunFailed:
                continue  # those two quote their keys in what they raise
        workers = [{"id": worker.id, "pool": worker.pool, "pid": worker.pid} for worker in orchestrator.workers()]
        told = {"url": server.url, "token": server.token.value, "workers": workers, "runs": [run.id for run in runs]}
        print(json.dumps(told), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
