"""A small orchestrator for the tests that kill one: starts workers, says who they are, and waits to be killed.

Arguments: the backend's kind, the generation lock's path or ``-``, how many workers, what each is to do.
"""

import asyncio
import json
import signal
import sys

import psutil

from greenroom.supervision.kernel.generation_lock import GenerationLock
from tests.supervision.harness import BACKENDS, born, entry


def say(pids: list[int]) -> None:
    sys.stdout.write(json.dumps(pids) + "\n")
    sys.stdout.flush()


async def story(kind: str, lock: str, count: int, deed: str) -> None:
    generation = None
    if lock != "-":
        generation = GenerationLock(lock)
        generation.acquire()
    backend = BACKENDS[kind]("plain", entry(), asyncio.get_running_loop(), generation=generation)
    await backend.start()
    (keeper,) = psutil.Process().children()
    (zygote,) = keeper.children()
    pids = [keeper.pid, zygote.pid]
    if deed == "storm":  # is killed while it forks
        say(pids)
        for number in range(10_000):
            life = await born(backend, number + 1)
            life.tell("family")
    for number in range(count):
        life = await born(backend, number + 1)
        pids.append(life.pid)
        pids += await life.ask("family")
        pids.append(await life.ask("subprocess_sleep"))
        if deed == "stop":
            life.worker.signal(signal.SIGSTOP)
        elif deed in {"hold_the_lock", "wait_for_ever"}:
            life.tell(deed)
    if deed == "stop_zygote":
        zygote.suspend()
    if deed == "stop_keeper":
        keeper.suspend()
    say(pids)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(story(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
