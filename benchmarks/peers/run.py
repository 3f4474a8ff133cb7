"""Do the same work in several systems, each in an environment of its own, and print a table.

Commands:

    python benchmarks/peers/run.py
    python benchmarks/peers/run.py --only dbos --only restate

Needs ``uv``, ``npm`` for Restate, and a network to install the packages. ``README.md`` beside it explains the table.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from work import ANSWER, RUNS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIMIT = 180.0
"""Seconds for one measurement."""


@dataclass(frozen=True)
class Peer:
    """A system, the packages that it needs, and what it does not do."""

    settings: str
    packages: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    durable: bool = True
    isolated: bool = True
    """Whether the death of a step's process leaves the rest alive."""


PEERS = {
    "greenroom": Peer('journal in SQLite, durability "full"; the crashing step is retried without delay'),
    "dbos": Peer("system database in SQLite, defaults", ("dbos",), isolated=False),
    "restate": Peer(
        "one node, defaults; Python SDK behind hypercorn",
        ("restate-sdk[serde]", "hypercorn", "httpx"),
        ("@restatedev/restate-server",),
        isolated=False,
    ),
    "langgraph": Peer(
        'a graph, AsyncSqliteSaver, durability "sync"',
        ("langgraph", "langgraph-checkpoint-sqlite"),
        isolated=False,
    ),
    "ray": Peer("local cluster, defaults, retries=3", ("ray",), durable=False),
    "pebble": Peer("ProcessPool(max_workers=4), retry by hand", ("pebble",), durable=False),
    "processpool": Peer("ProcessPoolExecutor(4), a new pool after a crash", durable=False),
}


def main() -> int:
    """Measure, and print the table. Return 1 if a system could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=PEERS, help="measure this system; may be repeated")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the median counts (default 3)")
    given = parser.parse_args()
    print(f"{'system':<12}{'one by one':>12}{'concurrent':>14}{'crashed step':>14}{'kill -9':>10}  settings")
    print(f"{'':<12}{'ms/step':>12}{'steps/s':>14}{'ms':>14}{'s':>10}")
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="greenroom-peers-") as place:
        for name in given.only or PEERS:
            try:
                line = measure(name, PEERS[name], Path(place) / name, given.rounds)
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                failed[name] = str(error)
                print(f"{name:<12}  not measured, see below")
            else:
                print(f"{name:<12}{line}  {PEERS[name].settings}", flush=True)
    print("\n-: it does not do that. whole: the process that has the step dies with all others; see kill -9.")
    for name, why in failed.items():
        print(f"{name} was not measured: {why}")
    return 1 if failed else 0


def measure(name: str, peer: Peer, folder: Path, rounds: int) -> str:
    """Return the line of a system."""
    folder.mkdir()
    command = [str(environment(peer, folder)), str(HERE / f"{name}_peer.py")]

    def median(what: str) -> float:
        return statistics.median(value(command, what, fresh(folder, f"{what}-{number}")) for number in range(rounds))

    serial, concurrent = median("serial"), median("concurrent")
    crashed = f"{median('crash') * 1000:.1f}" if peer.isolated else "whole"
    killed = "-"
    if peer.durable:
        places = [fresh(folder, f"kill-{number}") for number in range(rounds)]
        killed = f"{statistics.median(after_kill(command, each) for each in places):.2f}"
    return f"{serial * 1000:>12.2f}{concurrent:>14.0f}{crashed:>14}{killed:>10}"


def environment(peer: Peer, folder: Path) -> Path:
    """Install a system's packages. Return the Python that has them."""
    if peer.npm:
        shell(["npm", "install", "--silent", "--prefix", str(folder), *peer.npm])
    if not peer.packages:
        return Path(sys.executable)
    shell(["uv", "venv", "--quiet", "--python", sys.executable, str(folder / "venv")])
    python = folder / "venv" / "bin" / "python"
    shell(["uv", "pip", "install", "--quiet", "--python", str(python), *peer.packages])
    return python


def fresh(folder: Path, name: str) -> Path:
    """Make an empty folder."""
    place = folder / name
    place.mkdir()
    return place


def shell(command: list[str]) -> None:
    """Run a command. Raises RuntimeError with the end of what it said if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"{' '.join(command[:3])} failed: {done.stderr.strip()[-300:]}"
        raise RuntimeError(msg)


def started(command: list[str], what: str, folder: Path) -> "subprocess.Popen[str]":
    """Start one measurement in a session of its own."""
    variables = {**os.environ, "PYTHONPATH": f"{HERE}:{ROOT}", "PEER_FOLDER": str(folder.parent)}
    with (folder / f"{what}.log").open("w") as log:
        return subprocess.Popen(
            [*command, what, str(folder)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=variables,
            cwd=folder,
            start_new_session=True,
        )


def value(command: list[str], what: str, folder: Path) -> float:
    """Return what a measurement prints last."""
    process = started(command, what, folder)
    try:
        said, _ = process.communicate(timeout=LIMIT)
    finally:
        end(process)
    answers = [line for line in said.splitlines() if line.startswith(ANSWER)]
    if not answers:
        msg = f"{what} ended with code {process.returncode}: {log_of(folder, what)}"
        raise RuntimeError(msg)
    return float(answers[-1].removeprefix(ANSWER))


def after_kill(command: list[str], folder: Path) -> float:
    """Kill a process with all runs going on. Return the seconds from its next start until all go on."""
    process = started(command, "start", folder)
    try:
        wait_begun(folder, process)
    finally:
        end(process)
    (folder / "begun").unlink()
    moment = time.perf_counter()
    process = started(command, "resume", folder)
    try:
        wait_begun(folder, process)
        return time.perf_counter() - moment
    finally:
        end(process)


def wait_begun(folder: Path, process: "subprocess.Popen[str]") -> None:
    """Wait until all runs have come to their long step. The file is the only thing that all systems can write."""
    begun, limit = folder / "begun", time.monotonic() + LIMIT
    while not begun.exists() or len(set(begun.read_text().split())) < RUNS:
        if process.poll() is not None or time.monotonic() > limit:
            msg = f"the runs do not go on: {log_of(folder, 'resume') or log_of(folder, 'start')}"
            raise RuntimeError(msg)
        time.sleep(0.005)


def log_of(folder: Path, what: str) -> str:
    """Return the end of what a measurement wrote to stderr."""
    log = folder / f"{what}.log"
    return log.read_text()[-600:] if log.exists() else ""


def end(process: "subprocess.Popen[str]") -> None:
    """Kill a process and everything in its session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


if __name__ == "__main__":
    sys.exit(main())
