"""A process that is an orchestrator with an HTTP server, so that its memory is nobody else's. Started by tests.

``flooded.py FOLDER`` says on one line, as JSON, where it listens and what lets in, and ends with its stdin.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # a checkout need not be installed

from greenroom import Orchestrator
from greenroom.dashboard.server import Server
from tests.acceptance.harness import pools

APPS = [str(Path(__file__).resolve().parent / "apps" / "contract" / name) for name in ("flooding.py", "ticking.py")]


def main() -> None:
    """Serve until stdin ends."""
    folder = Path(sys.argv[1])
    with (
        Orchestrator(folder / "runs.db", home=folder / "home", pools=pools()) as orchestrator,
        Server(orchestrator, APPS, port=0) as server,
    ):
        print(json.dumps({"url": server.url, "token": server.token.value}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
