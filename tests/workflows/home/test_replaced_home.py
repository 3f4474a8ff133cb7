"""A home that was moved, deleted or replaced while its orchestrator runs: what is there then is left alone."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from greenroom import Orchestrator
from greenroom.dashboard.server import Server
from greenroom.messages.commands import ListWorkers, Workers
from greenroom.messages.core.errors import OrchestratorClosed
from greenroom.workflows.control.access.control_socket import ask
from greenroom.workflows.home.home import Home
from tests.workflows.apps.surroundings import surroundings


def move(home: Path) -> None:
    home.rename(home.with_name("moved"))


def empty(home: Path) -> None:
    for file in home.iterdir():
        file.unlink()


def link_elsewhere(home: Path) -> None:
    home.unlink()
    home.with_name("other").mkdir(mode=0o700)
    home.symlink_to("other")


AWAY: dict[str, Callable[[Path], object]] = {
    "moved": move,
    "deleted": shutil.rmtree,
    "emptied": empty,
    "linked elsewhere": link_elsewhere,
}


def home_for(tmp_path: Path, way: str) -> Path:
    """Return the path of a home; that of a link if the way needs one."""
    home = tmp_path / "home"
    if way == "linked elsewhere":
        (tmp_path / "linked").mkdir(mode=0o700)
        home.symlink_to("linked")
    return home


@pytest.mark.parametrize("way", AWAY)
def test_an_orchestrator_that_ends_leaves_the_next_one_in_its_place_alone(tmp_path: Path, way: str) -> None:
    home = home_for(tmp_path, way)
    first = Orchestrator(home=home)
    with Server(first, port=0):
        AWAY[way](home)
        with Orchestrator(home=home) as second, Server(second, port=0):
            files = {path.name: path.stat().st_ino for path in home.iterdir()}
            record = Home(home).read_record()
            first.close()
            assert {path.name: path.stat().st_ino for path in home.iterdir()} == files
            assert Home(home).read_record() == record
            assert isinstance(ask(Home(home), ListWorkers()), Workers)


@pytest.mark.parametrize("way", AWAY)
def test_a_server_that_ends_leaves_the_next_one_in_its_place_alone(tmp_path: Path, way: str) -> None:
    home = home_for(tmp_path, way)
    with Orchestrator(home=home) as first, Server(first, port=0) as server:
        AWAY[way](home)
        with Orchestrator(home=home) as second, Server(second, port=0) as next_server:
            server.close()
            assert Home(home).read_record()["url"] == next_server.url


@pytest.mark.parametrize("way", ["moved", "deleted"])
def test_whoever_serves_a_home_that_is_gone_is_told_so(tmp_path: Path, way: str) -> None:
    home = home_for(tmp_path, way)
    with pytest.raises(OrchestratorClosed, match="was moved, deleted or replaced while in use"):  # noqa: SIM117, PT012
        with Orchestrator(home=home) as orchestrator, Server(orchestrator, port=0):
            AWAY[way](home)
            orchestrator.start(surroundings, "ANY")
    assert not home.exists()
