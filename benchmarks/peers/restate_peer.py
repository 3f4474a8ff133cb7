"""The work in Restate: its server, and this process as the service that it calls."""

import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path

import httpx
import restate
import work
from hypercorn.asyncio import serve
from hypercorn.config import Config

INGRESS, ADMIN, SERVICE = "http://127.0.0.1:8080", "http://127.0.0.1:9070", "127.0.0.1:9080"

peer = restate.Service("peer", inactivity_timeout=timedelta(hours=2))


async def same(number: int) -> int:
    """Return the argument."""
    return number


async def stay(folder: str, run: int) -> None:
    """Note that this step has begun, and go on for an hour."""
    work.begin(folder, run)
    await asyncio.sleep(3600)


@peer.handler()
async def flow(ctx: restate.Context, steps: int) -> int:
    """Await a number of steps."""
    return sum([await ctx.run_typed("step", same, number=number) for number in range(steps)])


@peer.handler()
async def long(ctx: restate.Context, given: dict[str, str]) -> None:
    """Await some steps, and a long one."""
    for number in range(work.BEFORE):
        await ctx.run_typed("step", same, number=number)
    await ctx.run_typed("stay", stay, folder=given["folder"], run=int(given["run"]))


async def ready(client: httpx.AsyncClient) -> None:
    """Wait until the server knows this service."""
    while True:
        try:
            done = await client.post(f"{ADMIN}/deployments", json={"uri": f"http://{SERVICE}", "force": True})
            if done.is_success and (await client.get(f"{INGRESS}/restate/health")).is_success:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.02)


async def main() -> None:
    """Do what was ordered."""
    what, folder = work.order()
    server = Path(os.environ["PEER_FOLDER"]) / "node_modules" / ".bin" / "restate-server"
    with (Path(folder) / "server.log").open("a") as log:
        await asyncio.create_subprocess_exec(
            server, "--base-dir", f"{folder}/data", "--node-name", "one", stdout=log, stderr=log
        )
    config = Config()
    config.bind = [SERVICE]
    serving = asyncio.create_task(serve(restate.app([peer]), config))  # type: ignore[arg-type]
    async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=200)) as client:
        if what == "resume":
            await serving
        await ready(client)

        async def run(steps: int) -> None:
            (await client.post(f"{INGRESS}/peer/flow", json=steps)).raise_for_status()

        if what == "start":
            for number in range(work.RUNS):
                given = {"folder": folder, "run": str(number)}
                (await client.post(f"{INGRESS}/peer/long/send", json=given)).raise_for_status()
            await serving
        await run(5)
        started = time.perf_counter()
        if what == "serial":
            await run(work.SERIAL_STEPS)
            work.answer((time.perf_counter() - started) / work.SERIAL_STEPS)
        else:
            await asyncio.gather(*(run(work.STEPS) for _ in range(work.RUNS)))
            work.answer(work.RUNS * work.STEPS / (time.perf_counter() - started))
    os._exit(0)  # the service would serve on


if __name__ == "__main__":
    asyncio.run(main())
