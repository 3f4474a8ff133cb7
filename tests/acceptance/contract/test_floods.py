"""Values as large as a message may be: what they cost the orchestrator in memory, and its other runs in time.

Peaks are the kernel's own figures of an orchestrator in a process of its own. As objects of Python's the flood below
takes 850 MB there, and six readers of the large run take 3.7 GB.
"""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from greenroom import Orchestrator
from greenroom.messages.events.events import ProgramEnded
from greenroom.supervision.process import frame_channel
from tests.acceptance.apps.contract import flooding
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SCRIPT = Path(__file__).parent.parent / "flooded.py"
OBJECTS = 5_000_000
"""As many as ``{},`` makes 15 MB of."""
STEPS, LENGTH = 8, 15_000_000
READERS = 6


class Flooded:
    """An orchestrator in a process of its own, as its HTTP callers and the kernel see it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        place = json.loads(process.stdout.readline())
        self.pid = process.pid
        self.address = place["url"].removeprefix("http://")
        self.headers = {"Authorization": f"Bearer {place['token']}", "Host": self.address}
        self.http = self.client()

    def client(self) -> httpx.Client:
        url = f"http://{self.address}/api/v1"
        return httpx.Client(base_url=url, headers=self.headers, timeout=120, trust_env=False)

    def start(self, run_id: str, workflow: str, **inputs: Any) -> None:
        answer = self.http.post("/runs", json={"workflow": workflow, "input": inputs, "id": run_id})
        assert answer.status_code == 201, answer.text

    def wait(self, run_id: str) -> Any:
        while (answer := self.http.get(f"/runs/{run_id}/result", params={"wait": 60})).status_code == 202:
            pass
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def events(self, run_id: str, after: int = 0) -> list[dict[str, Any]]:
        """Give a run's events behind a sequence number, of which there may be many."""
        found: list[dict[str, Any]] = []
        while more := self.http.get(f"/runs/{run_id}/events", params={"after": after, "limit": 10_000}).json():
            found += more
            after = more[-1]["seq"]
        return found

    def peak_mb(self, work: Callable[[], object]) -> int:
        """Give the most memory that the process had while something was done."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")  # forget the peak so far
        work()
        return self.memory_mb("VmHWM")

    def memory_mb(self, kind: str = "VmRSS") -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(kind)) // 1024

    def read(self, path: str) -> int:
        """Read an answer as it comes, keeping none of it; give its length."""
        with self.client() as http, http.stream("GET", path) as answer:
            assert answer.status_code == 200
            return sum(map(len, answer.iter_raw()))

    def ask(self, path: str) -> socket.socket:
        """Ask, and read nothing."""
        host, port = self.address.split(":")
        asking = socket.create_connection((host, int(port)), timeout=60)
        lines = [f"GET /api/v1{path} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers.items()), "", ""]
        asking.sendall("\r\n".join(lines).encode())
        return asking


@pytest.fixture
def flooded(tmp_path: Path, mark: str) -> Iterator[Flooded]:
    command = [sys.executable, str(SCRIPT), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            served = Flooded(process)
            with served.http:
                yield served
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)


def at_once(work: Callable[[], int]) -> list[int]:
    """Have several threads do the same; give what each of them gave."""
    given: list[int] = []
    threads = [threading.Thread(target=lambda: given.append(work())) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given) == READERS
    return given


def test_a_flood_of_objects_takes_little_memory_and_its_neighbour_goes_on(flooded: Flooded, figure: Any):
    flooded.start("neighbour", "ticks")  # of an app of its own, whose workers have nothing to do with the flood
    eventually(lambda: len(flooded.events("neighbour")) > 100, 60)
    flooded.start("warm", "swamped", count=1)
    assert flooded.wait("warm") == 1

    def flood() -> None:
        flooded.start("flood", "swamped", count=OBJECTS)
        assert flooded.wait("flood") == OBJECTS

    peak = flooded.peak_mb(flood)
    figure("peak of the orchestrator in a flood", peak, "MB")
    ended = time.time()
    began = flooded.http.get("/runs/flood/events", params={"limit": 1}).json()[0]["at"]
    done = [event["at"] for event in flooded.events("neighbour") if event["type"] == "step.completed"]
    during = [at for at in done if began <= at <= ended]
    gap = max(b - a for a, b in zip([began, *during], [*during, ended], strict=True))
    figure("longest gap of its neighbour", gap, "s")
    assert peak < 450
    assert gap < 1.0


@pytest.mark.parametrize(("path", "most_mb"), [("events", 1000), ("stream", 1000), ("steps", 1500)])
def test_six_readers_of_a_large_run_at_once_take_little_memory(path: str, most_mb: int, flooded: Flooded, figure: Any):
    flooded.start("large", "large", steps=STEPS, length=LENGTH)
    assert flooded.wait("large") == STEPS
    lengths: list[int] = []
    peak = flooded.peak_mb(lambda: lengths.extend(at_once(lambda: flooded.read(f"/runs/large/{path}"))))
    figure(f"peak of the orchestrator with six readers of {path}", peak, "MB")
    assert len(set(lengths)) == 1
    assert lengths[0] > STEPS * LENGTH
    assert peak < most_mb


def test_readers_who_do_not_read_hold_little_and_lose_it_to_one_who_does(flooded: Flooded, figure: Any):
    flooded.start("large", "large", steps=STEPS, length=LENGTH)
    assert flooded.wait("large") == STEPS
    stuck = [flooded.ask(f"/runs/large/{path}") for path in ("events", "stream") * READERS]
    answered: list[int] = []
    peak = flooded.peak_mb(lambda: answered.append(flooded.read("/runs/large/events")))
    figure("peak of the orchestrator with twelve who do not read", peak, "MB")
    assert answered[0] > STEPS * LENGTH
    assert peak < 1300
    whole = [_ends_well(asking) for asking in stuck]
    assert not all(whole), "somebody has lost the part that was not read"


def test_a_program_gets_more_large_results_at_once_than_may_wait_for_one_that_does_not_read(tmp_path: Path) -> None:
    assert STEPS * LENGTH > frame_channel.HIGH_WATER_BYTES
    journal = str(tmp_path / "journal.db")
    with Orchestrator(journal) as orchestrator:
        run = orchestrator.start(flooding.gathered, STEPS, LENGTH, id="r")
        assert eventually(lambda: run.status == "waiting", 120)
    with Orchestrator(journal) as orchestrator:  # where the program is given all of it once more
        run = orchestrator.get("r")
        run.signal(flooding.Go())
        assert run.result(120) == STEPS * LENGTH
        ends = [stored.event for stored in run.events() if isinstance(stored.event, ProgramEnded)]
    assert not any(end.charged for end in ends)


def _ends_well(asking: socket.socket) -> bool:
    """Read an answer to its end; say whether that was an end, or the connection was cut."""
    last = b""
    with asking:
        try:
            while data := asking.recv(1 << 20):
                last = (last + data)[-5:]
                if last == b"0\r\n\r\n":
                    return True
        except ConnectionResetError:
            pass
    return False
