"""A server of each test's own, and what speaks to it without any help of ours."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from greenroom import Client, Orchestrator, Run
from greenroom.dashboard.server import Server

APP = Path(__file__).parent / "apps" / "offered.py"


@pytest.fixture
def orchestrator(home: Path) -> Iterator[Orchestrator]:
    with Orchestrator() as opened:
        yield opened


@pytest.fixture
def server(orchestrator: Orchestrator) -> Iterator[Server]:
    with Server(orchestrator, [str(APP)], port=0) as opened:
        yield opened


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    """Give a plain HTTP client that has the token."""
    headers = {"Authorization": f"Bearer {server.token.value}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=50, trust_env=False) as opened:
        yield opened


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    """Give the same below the API's prefix."""
    headers = {"Authorization": f"Bearer {server.token.value}"}
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=50, trust_env=False) as opened:
        yield opened


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client() as opened:
        yield opened


def start(helm: Client | Orchestrator, name: str, run_id: str, **inputs: object) -> Run:
    """Start one of the app's workflows."""
    return helm.start_app(str(APP), name, inputs, id=run_id)
