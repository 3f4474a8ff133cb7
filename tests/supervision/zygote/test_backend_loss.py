"""What holds when the zygote, its keeper, or the orchestrator is what dies, and when an app cannot be loaded."""

import asyncio
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import psutil
import pytest

from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.failures import Exit
from greenroom.supervision.jobs import ImportKilled
from greenroom.supervision.kernel import linux, orphans
from greenroom.supervision.kernel.generation_lock import GenerationLock
from greenroom.supervision.policy.worker_environment import NOTHING
from greenroom.supervision.zygote.backend import START_ATTEMPTS
from greenroom.supervision.zygote.environments import Environments
from greenroom.supervision.zygote.keeper_process import FirstKeeper, Inheritance, KeeperProcess
from tests.supervision.harness import HERE, PATIENCE, Life, Scene, born, entry
from tests.support import eventually

pytestmark = pytest.mark.slow

KINDS = ["zygote", "spawn"]


def gone(pids: list[int]) -> bool:
    return not any(map(runs, pids))


def runs(pid: int) -> bool:
    """Say whether a process does anything still: one that only waits to be reaped by a foreign parent does not."""
    return linux.process_state(pid) not in {"", "Z", "X"}


# ---------------------------------------------------------------- apps that cannot be loaded


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("app", "words"),
    [
        ("broken", ["cannot be loaded", "worker_entry.py", "about to fail", "RuntimeError: the app's own mistake"]),
        ("leaving", ["SystemExit: no thanks"]),
        ("crashing", ["crashing", "SIGSEGV"]),
        ("absent", ["KeyError: 'absent'"]),
        ("talkative", ["RuntimeError: after all that"]),
    ],
)
def test_an_app_that_cannot_be_loaded_says_why_in_the_users_words(
    make_scene: Callable[..., Scene], kind: str, app: str, words: list[str]
) -> None:
    scene = make_scene(kind, app)
    with pytest.raises(DefinitionError) as caught:
        scene.run(scene.backend.start())
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "greenroom/supervision" not in message, "no frames of our own, nor in a crash's dump"
    assert "<frozen importlib" not in message
    assert len(message) < 10_000

    async def story() -> None:
        end = await Life(scene.backend).heard.exit()
        assert end.kind == "start_failed"
        assert words[-1] in end.detail

    if app == "broken":
        scene.run(story())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", ["the package", "the interpreter"])
def test_what_was_changed_under_a_running_orchestrator_is_no_fault_of_the_app(
    make_scene: Callable[..., Scene], kind: str, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if change == "the package":
        monkeypatch.setattr("greenroom.supervision.zygote.backend.source_mark", lambda: "that of older code")
        words = "greenroom was upgraded or edited on disk since this orchestrator started"
    else:
        monkeypatch.setattr(sys, "executable", str(tmp_path / "moved" / "python"))
        words = f"the Python of this orchestrator, {tmp_path}/moved/python, is no longer there"
    scene = make_scene(kind)

    async def story() -> None:
        with pytest.raises(OSError, match="[Ss]tart the orchestrator again") as caught:
            await scene.backend.start()
        assert words in str(caught.value)
        end = await Life(scene.backend).heard.exit()
        assert (end.kind, end.refused) == ("start_failed", True)
        assert words in end.detail

    scene.run(story())


def test_an_import_that_crashed_under_the_watchdog_is_tried_again_without_it(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene("zygote", "shaken")

    async def story() -> None:
        await scene.backend.start()
        life = await born(scene.backend)
        await life.end_by("leave", 0)

    scene.run(story())


class Held:
    """An app whose import lasts until ``go``, and the processes that import it."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self.scene, self.folder, self.seen = scene, folder, set[int]()

    async def importing(self) -> int:
        """Wait for a process that imports the app and was not seen before."""
        fresh: set[int] = await asyncio.to_thread(eventually, self._fresh, PATIENCE)
        self.seen |= fresh
        return fresh.pop()

    def _fresh(self) -> set[int]:
        return {int(path.name.partition("-")[2]) for path in self.folder.glob("importing-*")} - self.seen

    async def kill(self, victim: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Kill what imports the app, or what that depends on."""
        process = psutil.Process(await self.importing())
        zygote = process if self.scene.kind == "zygote" else process.parent()
        assert zygote is not None
        keeper = zygote.parent()
        assert keeper is not None
        victims = {"import": [process], "zygote": [zygote], "keeper": [keeper], "both": [keeper, zygote]}
        for each in victims[victim]:
            each.send_signal(how)

    def go(self) -> None:
        (self.folder / "go").touch()


@pytest.fixture
def held(make_scene: Callable[..., Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Held]:
    monkeypatch.setenv("HELD_IN", str(tmp_path))
    return lambda kind: Held(make_scene(kind, "held"), tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("victim", "how"),
    [
        *product(("import", "zygote", "keeper", "both"), (signal.SIGKILL, signal.SIGTERM)),
        *product(["keeper"], (signal.SIGSEGV, signal.SIGABRT)),  # which the app's own code may raise elsewhere
    ],
)
def test_an_import_that_is_killed_is_done_again(
    held: Callable[[str], Held], kind: str, victim: str, how: signal.Signals
) -> None:
    app = held(kind)

    async def story() -> None:
        start = asyncio.create_task(app.scene.backend.start())
        await app.kill(victim, how)
        await app.importing()
        app.go()
        await start
        await (await born(app.scene.backend)).end_by("leave", 0)

    app.scene.run(story())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("victim", "words"),
    [("import", "was killed by SIGKILL"), ("keeper", "the keeper of the zygote was killed by SIGKILL")],
)
def test_an_import_that_is_killed_each_time_is_no_fault_of_the_app_and_may_be_tried_again(
    held: Callable[[str], Held], kind: str, victim: str, words: str
) -> None:
    app = held(kind)

    async def story() -> None:
        start = asyncio.create_task(app.scene.backend.start())
        for _ in range(START_ATTEMPTS):
            await app.kill(victim)
        with pytest.raises(ImportKilled, match=f"held cannot be loaded: .*{words}"):
            await start
        app.go()
        await app.scene.backend.start()
        await (await born(app.scene.backend)).end_by("leave", 0)

    app.scene.run(story())


class Awaited(FirstKeeper):
    """A first keeper that notes when a backend takes it over; in the same turn of the loop it is told its app."""

    def __init__(self, inheritance: Inheritance) -> None:
        super().__init__("", inheritance, None)
        self.taken = asyncio.Event()

    def take(self, inheritance: Inheritance) -> KeeperProcess | None:
        self.taken.set()
        return super().take(inheritance)


def test_a_zygote_that_is_killed_before_it_hears_of_its_app_is_replaced(make_scene: Callable[..., Scene]) -> None:
    """The packet that it has not read must not hide how it ended: an app that was never imported has no fault."""
    first = Awaited(Inheritance.of(entry().path, Environments(NOTHING, None).shared(), ""))
    scene = make_scene("zygote", first=first)
    (keeper,) = psutil.Process().children()
    (zygote,) = eventually(keeper.children)
    zygote.suspend()

    async def story() -> None:
        start = asyncio.create_task(scene.backend.start())
        await first.taken.wait()
        zygote.kill()
        dead(keeper.pid)
        await start
        await (await born(scene.backend)).end_by("leave", 0)

    scene.run(story())


def test_an_app_that_starts_threads_is_not_forked_and_told_so_once(make_scene: Callable[..., Scene]) -> None:
    told: list[str] = []
    scene = make_scene("zygote", "threaded", on_threaded=told.append)

    async def story() -> None:
        await scene.backend.start()
        for _ in range(2):
            life = await born(scene.backend)
            assert (await life.ask("describe_self"))["threads"] == 2
            await life.end_by("leave", 0)
        before, lost = scene.zygote, asyncio.Event()
        scene.backend.on_lost = lambda _: lost.set()
        os.kill(before, signal.SIGKILL)
        await lost.wait()
        life = await born(scene.backend)
        assert (await life.ask("describe_self"))["threads"] == 2
        assert scene.zygote != before
        await life.end_by("leave", 0)

    scene.run(story())
    (sentence,) = told
    assert sentence in scene.backend.detail
    assert re.search(r"threaded starts a thread .*\(napper\).*each worker imports the app by itself", sentence)


@pytest.mark.parametrize(
    ("kind", "app", "threads"), [("zygote", "threaded_until_it_forks", 1), ("spawn", "threaded", 2)]
)
def test_threads_that_end_before_each_fork_or_whose_app_is_never_forked_are_no_obstacle(
    make_scene: Callable[..., Scene], kind: str, app: str, threads: int
) -> None:
    scene = make_scene(kind, app)

    async def story() -> None:
        await scene.backend.start()
        life = await born(scene.backend)
        assert (await life.ask("describe_self"))["threads"] == threads
        await life.end_by("leave", 0)

    scene.run(story())


@pytest.mark.parametrize("kind", KINDS)
def test_an_import_that_does_not_end_is_given_up(make_scene: Callable[..., Scene], kind: str) -> None:
    scene = make_scene(
        kind, "endless", start_timeout=6.0
    )  # half of it is for an interpreter to start on a busy machine
    with pytest.raises(DefinitionError) as caught:
        scene.run(scene.backend.start())
    message = str(caught.value)
    assert "had not ended after 6 s" in message
    assert "loading for ever" in message
    assert "in endless" in message  # where it stood


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_started_by_an_import_does_not_outlive_it(make_scene: Callable[..., Scene], kind: str) -> None:
    scene = make_scene(kind, "starts_daemon")

    async def story() -> None:
        await scene.backend.start()
        life = await born(scene.backend)
        await life.end_by("leave", 0)
        assert not [p for p in psutil.Process().children(recursive=True) if "sleep" in p.cmdline()]

    scene.run(story())


# ---------------------------------------------------------------- the zygote


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("victim", ["zygote", "keeper", "both"])
def test_a_killed_zygote_takes_its_workers_along_and_is_replaced(
    make_scene: Callable[..., Scene], kind: str, victim: str
) -> None:
    scene = make_scene(kind)

    async def story() -> None:
        await scene.backend.start()
        lives = [await born(scene.backend, number) for number in (1, 2)]
        tree = [*await lives[0].ask("family"), await lives[1].ask("subprocess_sleep")]
        if victim != "both":  # such a one is found only by a parent that is left to it
            tree.append(await lives[1].ask("clean_daemon"))
        tree += [life.pid for life in lives]
        keeper = scene.keeper
        if victim in {"zygote", "both"}:
            os.kill(scene.zygote, signal.SIGKILL)
        if victim in {"keeper", "both"}:
            os.kill(keeper, signal.SIGKILL)
        for life in lives:
            end = await life.heard.exit()
            assert end.kind == "backend_lost"
            assert end.detail
        assert gone(tree)
        fresh = await born(scene.backend, 3)
        assert await fresh.ask("echo", "again") == "again"
        await fresh.end_by("leave", 0)

    scene.run(story())


def dead(pid: int) -> None:
    """Wait until a process is dead, without giving the loop a turn to notice."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([pidfd], [], [], PATIENCE)[0], f"{pid} lives on"
    finally:
        os.close(pidfd)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("order", "detail"),
    [
        ("worker, then the report of the keeper", "the zygote was killed by SIGKILL"),
        ("worker, then nothing", "the zygote did not reap a dead worker within 0.5 s"),
        ("keeper, then worker", "the keeper of the zygote was killed by SIGKILL"),
        ("worker, then the socket and the keeper", "the zygote closed its control socket"),
        ("all between two turns of the loop", "(?:the zygote closed its control socket|.* killed by SIGKILL)"),
    ],
)
def test_in_whatever_order_deaths_are_noticed_a_worker_is_lost_with_its_zygote(
    make_scene: Callable[..., Scene], kind: str, order: str, detail: str
) -> None:
    """No order makes it a death of its own, for which its job would be charged."""
    scene = make_scene(kind, launch_timeout=0.5 if order == "worker, then nothing" else 30.0)

    async def story() -> None:
        await scene.backend.start()
        life = await born(scene.backend)
        zygote, keeper = scene.zygote, scene.keeper
        match order:
            case "keeper, then worker":
                os.kill(zygote, signal.SIGSTOP)
                os.kill(keeper, signal.SIGKILL)
                dead(keeper)
                assert not gone([life.pid])
            case "all between two turns of the loop":
                for pid in (keeper, zygote):
                    os.kill(pid, signal.SIGKILL)
                for pid in (keeper, zygote, life.pid):
                    dead(pid)
            case _:
                os.kill(keeper, signal.SIGSTOP)
                os.kill(zygote, signal.SIGKILL)
                await life.heard.until(lambda: life.heard.dead)
        if order == "worker, then the report of the keeper":
            os.kill(keeper, signal.SIGCONT)
        elif order == "worker, then the socket and the keeper":
            os.kill(keeper, signal.SIGKILL)
        end = await life.heard.exit()
        assert (end.kind, end.injected) == ("backend_lost", False)
        assert re.fullmatch(detail, end.detail), end.detail

    scene.run(story())


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_zygote_is_noticed_by_what_it_does_not_do(make_scene: Callable[..., Scene], kind: str) -> None:
    scene = make_scene(kind, launch_timeout=0.5)

    async def story() -> None:
        await scene.backend.start()
        first = await born(scene.backend, 1)
        os.kill(scene.zygote, signal.SIGSTOP)
        never = Life(scene.backend, 2)  # cannot be forked
        end = await never.heard.exit()
        assert (end.kind, end.detail) == ("backend_lost", "the zygote did not fork a worker within 0.5 s")
        assert (await first.heard.exit()).kind == "backend_lost"

        second = await born(scene.backend, 3)
        os.kill(scene.zygote, signal.SIGSTOP)
        second.worker.kill(Exit(kind="timeout"))  # dies, and is not reaped
        assert (await second.heard.exit()).kind == "timeout"
        await (await born(scene.backend, 4)).end_by("leave", 0)

    scene.run(story())


@pytest.mark.parametrize("kind", KINDS)
def test_closing_ends_everything(make_scene: Callable[..., Scene], kind: str) -> None:
    scene = make_scene(kind)

    async def story() -> None:
        await scene.backend.start()
        lives = [await born(scene.backend, number) for number in (1, 2)]
        tree = [*await lives[0].ask("family"), await lives[1].ask("clean_daemon"), scene.zygote]
        lives[1].worker.signal(signal.SIGSTOP)
        await scene.backend.close()
        assert gone(tree)
        assert [life.heard.end.result().kind for life in lives] == ["stopped", "stopped"]
        late = Life(scene.backend, 3)
        assert (await late.heard.exit()).kind == "start_failed"

    scene.run(story())


def test_closing_during_the_start_ends_it(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene("zygote", "endless")

    async def story() -> None:
        waiting = Life(scene.backend)
        killed = Life(scene.backend)
        killed.worker.kill(Exit(kind="stopped", detail="not wanted any more"))
        assert (await killed.heard.exit()).detail == "not wanted any more"
        await asyncio.sleep(0)
        await scene.backend.close()
        assert (await waiting.heard.exit()).kind == "stopped"

    scene.run(story())


def test_no_descriptor_is_left_open(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene("zygote")

    async def story() -> None:
        await scene.backend.start()
        await (await born(scene.backend)).end_by("leave", 0)
        before = len(linux.numbers_in("/proc/self/fd"))
        for number in range(10):
            life = await born(scene.backend, number + 2)
            await life.end_by(("leave", "segfault")[number % 2], 0)
        assert len(linux.numbers_in("/proc/self/fd")) == before

    scene.run(story())


# ---------------------------------------------------------------- the orchestrator


@pytest.fixture
def orchestrate(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], list[int]]]]:
    """Give a starter of orchestrators: the process, and the pids of everything under it."""
    started: list[subprocess.Popen[str]] = []

    def start(kind: str, deed: str, count: int = 2, lock: str = "-") -> tuple[subprocess.Popen[str], list[int]]:
        root = str(HERE.parent.parent)
        process = subprocess.Popen(
            [sys.executable, str(HERE / "orchestrator_script.py"), kind, lock, str(count), deed],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])},
            cwd=tmp_path,
        )
        started.append(process)
        assert process.stdout is not None
        return process, json.loads(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def marked(lineage_of: int) -> str:
    """Read the mark from a process's command line."""
    return psutil.Process(lineage_of).cmdline()[3]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("deed", ["idle", "stop", "hold_the_lock", "stop_zygote", "stop_keeper"])
def test_nothing_outlives_a_killed_orchestrator_by_a_second(orchestrate: Any, kind: str, deed: str) -> None:
    process, pids = orchestrate(kind, deed)
    assert not gone(pids)
    mark = marked(pids[0])
    process.kill()
    process.wait()
    killed = time.monotonic()
    expected = pids[1:] if deed == "stop_keeper" else pids
    eventually(lambda: gone(expected), 1.0, what=f"the end of all of {expected}")
    assert time.monotonic() - killed < 1.0
    if deed == "stop_keeper":  # a stopped process without anything under it: the next generation's to end
        os.kill(pids[0], signal.SIGKILL)
        eventually(lambda: gone(pids), 1.0)
    assert orphans.find([orphans.carries(*mark.split(":"))]) == []


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.01, 0.02, 0.05])
def test_nothing_outlives_an_orchestrator_that_is_killed_while_it_forks(orchestrate: Any, delay: float) -> None:
    process, pids = orchestrate("zygote", "storm")
    mark = marked(pids[0])
    select.select([], [], [], delay)  # the point of the test: kills at various moments
    process.kill()
    process.wait()
    eventually(
        lambda: not orphans.find([orphans.carries(*mark.split(":"))]),
        1.0,
        what="the end of every process of the lineage",
    )


# ---------------------------------------------------------------- the next generation


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_generation_ends_what_the_last_one_left(orchestrate: Any, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "generation.lock"
    process, pids = orchestrate(kind, "stop", lock=str(path))
    keeper, zygote, *workers = pids
    for pid in (keeper, zygote):
        os.kill(pid, signal.SIGSTOP)  # so that nobody is there to clean up
    process.kill()
    process.wait()
    assert not gone(pids)
    lock = GenerationLock(path)
    assert lock.acquire() >= 2  # keeper and zygote; workers may die with them before they are counted
    assert gone(pids)
    assert not gone([os.getpid()])
    assert "held" in repr(lock)
    assert len(workers) == 10
    lock.release()
    assert GenerationLock(path).acquire() == 0
