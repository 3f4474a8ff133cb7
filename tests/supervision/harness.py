"""Running a backend in a test: a loop in the test's own thread, and listeners that can be waited for."""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import psutil

from greenroom.messages.core.failures import Exit
from greenroom.messages.core.json_text import plain
from greenroom.messages.frames.worker import Completed, Execute, FromWorker, Ready, WorkerSpec
from greenroom.messages.options.policy import Limits
from greenroom.supervision.jobs import Entry
from greenroom.supervision.kernel import linux
from greenroom.supervision.process.worker_process import Worker
from greenroom.supervision.zygote.backend import ZygoteBackend
from greenroom.supervision.zygote.spawn_backend import SpawnBackend

T = TypeVar("T")

BACKENDS = {"zygote": ZygoteBackend, "spawn": SpawnBackend}
HERE = Path(__file__).resolve().parent
PATIENCE = 20.0
"""Seconds that a loaded machine may take for what takes milliseconds."""


def entry() -> Entry:
    path = (str(HERE), str(HERE.parent.parent), *(item for item in sys.path if item))
    return Entry(preload="worker_entry:preload", main="worker_entry:main", path=path)


class Recorder:
    """A listener that keeps what it hears and can be waited for."""

    def __init__(self) -> None:
        self.pid: int | None = None
        self.dead = False
        self.read: int | None = None
        self.messages: list[FromWorker] = []
        self.end: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._changed = asyncio.Event()

    def spawned(self, pid: int) -> None:
        self.pid = pid
        self._changed.set()

    def received(self, message: FromWorker) -> None:
        assert not self.end.done(), "nothing may be heard after the end"
        self.messages.append(message)
        self._changed.set()

    def died(self) -> None:
        self.dead = True
        self._changed.set()

    def exited(self, exit: Exit, read: int) -> None:  # noqa: A002  the name that the protocol gives
        # A zombie is what is left where a killed keeper could not reap, and the machine's init has not yet.
        assert self.pid is None or linux.process_state(self.pid) in {"", "Z"}, "the end is reported when nothing runs"
        self.read = read
        self.end.set_result(exit)
        self._changed.set()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                assert not self.end.done(), f"it ended meanwhile: {self.end.result()}"
                self._changed.clear()
                await self._changed.wait()

    async def ready(self) -> None:
        await self.until(lambda: any(isinstance(message, Ready) for message in self.messages))

    async def result(self, token: str) -> Any:
        def found() -> list[Any]:
            return [m.result for m in self.messages if isinstance(m, Completed) and m.token == token]

        await self.until(found)
        return plain(found()[0])

    async def exit(self) -> Exit:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.shield(self.end)


class Life:
    """A worker and its recorder."""

    @property
    def pid(self) -> int:
        assert self.worker.pid is not None, "it has not been forked yet"
        return self.worker.pid

    def __init__(self, backend: ZygoteBackend, number: int = 1, limits: Limits | None = None) -> None:
        self.heard = Recorder()
        spec = WorkerSpec(worker=f"tool-{number}", incarnation=number, kind="tool", limits=limits or Limits())
        self.worker: Worker = backend.spawn(spec, self.heard)
        self._tokens = 0

    def tell(self, name: str, argument: Any = None) -> str:
        self._tokens += 1
        token = f"t{self._tokens}"
        self.worker.send(
            Execute(
                run_id="r",
                key="k",
                name=name,
                step="m:f",
                attempt=1,
                token=token,
                arguments=argument,
                idempotency_key="i",
            )
        )
        return token

    async def ask(self, name: str, argument: Any = None) -> Any:
        return await self.heard.result(self.tell(name, argument))

    async def end_by(self, name: str, argument: Any = None) -> Exit:
        self.tell(name, argument)
        return await self.heard.exit()


async def born(backend: ZygoteBackend, number: int = 1, limits: Limits | None = None) -> Life:
    life = Life(backend, number, limits)
    await life.heard.ready()
    await life.heard.until(lambda: life.heard.pid is not None)  # its own socket may be read before the zygote's
    return life


class Scene:
    """A loop with one backend on it."""

    def __init__(self, kind: str, app: str = "plain", **options: Any) -> None:
        self.loop = asyncio.SelectorEventLoop()
        self.kind = kind
        self.backend = BACKENDS[kind](app, entry(), self.loop, **options)

    @property
    def zygote(self) -> int:
        handle = self.backend._handle  # pyright: ignore[reportPrivateUsage]
        assert handle is not None, "there is no zygote now"
        return handle.zygote

    @property
    def keeper(self) -> int:
        return psutil.Process(self.zygote).ppid()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, 50))

    def close(self) -> None:
        try:
            self.run(self.backend.close())
        finally:
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
