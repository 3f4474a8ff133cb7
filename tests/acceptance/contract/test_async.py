"""Everything from asynchronous code: nothing blocks the loop, whatever waits can be cancelled, nothing is left behind."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from greenroom import (
    AsyncOrchestrator,
    Client,
    HomeInUse,
    InvalidInput,
    Orchestrator,
    OrchestratorClosed,
    RunCancelled,
    RunNotFound,
    TurnFailed,
)
from greenroom.dashboard.server import Server
from greenroom.messages.commands import ListWorkers, Workers
from tests.acceptance import harness
from tests.acceptance.apps.contract import authoring
from tests.acceptance.apps.sessions import talk
from tests.acceptance.apps.steering import compensating, running, telling
from tests.support import ROOT, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.usefixtures("home", "mark")]


@pytest.fixture
def on_loop(tmp_path: Path) -> Iterator[Callable[[Callable[[AsyncOrchestrator], Coroutine[Any, Any, Any]]], Any]]:
    """Give what runs a coroutine with an orchestrator's twin, and then looks for what it has left behind."""
    before = set(threading.enumerate())

    def run(body: Callable[[AsyncOrchestrator], Coroutine[Any, Any, Any]]) -> Any:
        complaints: list[dict[str, Any]] = []

        async def main() -> Any:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
            async with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
                found = await body(orchestrator)
            assert len(asyncio.all_tasks()) == 1
            return found

        found = asyncio.run(main())
        gc.collect()
        assert complaints == []
        return found

    yield run
    eventually(lambda: set(threading.enumerate()) <= before, 10, what="the end of all threads")


async def once(condition: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(eventually, condition, 60)


def waiters(orchestrator: AsyncOrchestrator) -> tuple[int, int]:
    """Count who waits for replies and for runs, on the reactor's side."""
    engine = orchestrator.plain._engine
    return engine._router.asking, len(engine.runs.subscribers)


# ---------------------------------------------------------------- opening and closing


def test_a_run_is_started_awaited_followed_and_looked_at(on_loop):
    async def body(orchestrator):
        run = await orchestrator.start(authoring.sequential, 1, id="one")
        assert await run == await run.result(30) == [1, 2, 4, 8]
        assert (await run.status, (await run.record).id, await run.usage, await run.state) == (
            "completed",
            "one",
            {},
            None,
        )
        followed = [stored async for stored in run.events(follow=True)]
        assert followed == [stored async for stored in run.events()] == list(run.plain.events())
        assert [stored.seq async for stored in run.events(after=2)] == [stored.seq for stored in followed[2:]]
        assert len(await run.steps()) == 3
        assert [record.id for record in await orchestrator.runs()] == ["one"]
        assert await (await orchestrator.get("one")) == [1, 2, 4, 8]
        fork = await run.fork(at=(await run.steps())[0].key, result=5)
        assert await fork == [1, 5, 10, 20]
        with pytest.raises(RunNotFound):
            await orchestrator.get("two")
        with pytest.raises(InvalidInput):
            await orchestrator.start(authoring.sequential, "many")
        with pytest.raises(RunNotFound):
            [stored async for stored in (orchestrator.plain.handle("two", None)).aio.events(follow=True)]
        assert (await orchestrator.tree()).children
        assert await orchestrator.workers()
        assert (await orchestrator.metrics()).workflows
        assert repr(run) == "<AsyncRun one>"
        assert "open" in repr(orchestrator)

    on_loop(body)


def test_streams_signals_questions_and_ends_are_awaited(on_loop):
    async def body(orchestrator):
        run = await orchestrator.start(telling.words, "otters swim well")
        assert [item.value async for item in run.stream("sizes", follow=True)] == [6, 4, 4]
        assert [item.offset async for item in run.stream("sizes", after=0)] == [1, 2]
        asks = await orchestrator.start(compensating.asks)
        followed = asyncio.ensure_future(_last(asks))
        (question,) = await once(asks.plain.approvals)
        assert await orchestrator.approvals() == await asks.approvals() == [question]
        await asks.pause()
        assert await asks.status == "paused"
        await asks.resume()
        await orchestrator.decide(question.id, "approve")
        await asks
        assert await followed == "run.completed"
        other = await orchestrator.start(compensating.asks)
        await other.cancel("enough", within=30)
        with pytest.raises(RunCancelled, match="enough"):
            await other
        heard = await orchestrator.start(talk.listener)
        await heard.signal(talk.Word(text="hello"))
        assert await heard == "hello"
        assert isinstance(await orchestrator.send(ListWorkers()), Workers)
        schedule = await orchestrator.schedule("nightly", compensating.measures, "abc", every=3600)
        assert (await schedule.status, len(await schedule.next_times(3))) == ("active", 3)
        assert await (await schedule.trigger()) == 3
        assert len(await schedule.last_runs()) == 1
        await (await orchestrator.get_schedule("nightly")).delete()
        assert await orchestrator.schedules() == []

    async def _last(run):
        return [stored.type async for stored in run.events(follow=True)][-1]

    on_loop(body)


def test_sessions_are_asked_and_told(on_loop):
    async def body(orchestrator):
        parrot = orchestrator.session(talk.parrot, "polly")
        assert await parrot.ask(talk.Say(text="hello"), 60) == talk.Reply(text="HELLO", turns=1)
        await parrot.tell(talk.Say(text="again"), key="second")
        assert await parrot.ask(talk.Say(text="again"), 60, key="second") == talk.Reply(text="AGAIN", turns=2)
        assert await parrot.state == talk.Memory(said=["HELLO", "AGAIN"])
        assert [turn.reply.turns for turn in await parrot.history()] == [1, 2]
        assert [record.key for record in await orchestrator.sessions()] == ["polly"]
        with pytest.raises(TurnFailed, match="not today"):
            await orchestrator.session(talk.moody, "m").ask(talk.Say(text="raise"), 60)
        assert len(await orchestrator.dead_letters()) == 1
        with pytest.raises(ValueError, match="above 0"):
            await parrot.ask(talk.Say(text="x"), 0)
        with pytest.raises(TimeoutError, match="has not answered within"):
            await orchestrator.session(talk.careful, "c").ask(talk.Say(text="x"), 0.05)
        await parrot.close()
        assert (await parrot.status, (await parrot.record).key) == ("completed", "polly")
        # a session of the plain one, too
        assert await orchestrator.plain.session(talk.plain, "p").aio.ask(talk.Say(text="four")) == 4

    on_loop(body)


def test_neither_opening_nor_closing_holds_the_loop(tmp_path):
    """Opening waits here for a home whose owner lives, and closing for a step that takes its time."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> None:
        nonlocal turns
        counting = asyncio.ensure_future(count())
        async with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
            assert turns > 10
            with pytest.raises(HomeInUse):
                async with Orchestrator(tmp_path / "runs.db", pools=harness.pools()):
                    pytest.fail("two at once")
            run = await orchestrator.start(running.gated, str(tmp_path), id="gated")
            await once((tmp_path / "gate.reached").exists)
            turns = 0
        assert turns > 10
        counting.cancel()
        with pytest.raises(OrchestratorClosed):
            await run.status
        with pytest.raises(OrchestratorClosed):
            await orchestrator.start(authoring.sequential, 1)

    asyncio.run(main())


def test_an_error_in_the_block_closes_it(tmp_path):
    async def fail() -> None:
        async with Orchestrator(tmp_path / "runs.db"):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(fail())
    with Orchestrator(tmp_path / "runs.db"):
        pass


@pytest.mark.parametrize("when", ["opening", "open", "closing"])
def test_whoever_is_cancelled_leaves_nothing_open(tmp_path, when):
    async def use(entered: asyncio.Event) -> None:
        async with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
            await orchestrator.start(running.gated, str(tmp_path))
            await once((tmp_path / "gate.reached").exists)
            entered.set()
            if when == "open":
                await asyncio.Event().wait()

    async def main() -> None:
        entered = asyncio.Event()
        task = asyncio.ensure_future(use(entered))
        if when == "opening":
            await asyncio.sleep(0)
        else:
            await entered.wait()
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with Orchestrator(tmp_path / "runs.db", recover=False) as again:  # at once: nothing is held any more
            assert len(await again.runs()) == (0 if when == "opening" else 1)

    asyncio.run(main())


def test_an_orchestrator_that_is_made_on_a_loop_opens_by_itself(tmp_path):
    async def main() -> None:
        first = Orchestrator(tmp_path / "runs.db")
        assert await first.aio.runs() == []
        second = Orchestrator(tmp_path / "runs.db")
        assert await (await first.aio.start(authoring.sequential, 1)) == [1, 2, 4, 8]
        with pytest.raises(HomeInUse):
            second.runs()
        assert "not open" in repr(second)
        second.close()
        first.close()
        assert repr(first).endswith("closed>")

    asyncio.run(main())


# ---------------------------------------------------------------- cancelling


def test_whoever_stops_waiting_leaves_nobody_behind(on_loop):
    async def body(orchestrator):
        run = await orchestrator.start(compensating.asks)
        silent = orchestrator.session(talk.careful, "c")

        async def follow() -> None:
            async for _ in run.events(follow=True):
                pass

        async def stream() -> None:
            async for _ in run.stream(follow=True):
                pass

        waits = [run.result, follow, stream, lambda: silent.ask(talk.Say(text="x"), key="same")]
        for wait in waits:
            tasks = [asyncio.ensure_future(wait()) for _ in range(5)]
            await once(lambda: waiters(orchestrator) != (0, 0))
            for task in tasks:
                task.cancel()
            assert all(
                isinstance(each, asyncio.CancelledError)
                for each in await asyncio.gather(*tasks, return_exceptions=True)
            )
            await once(lambda: waiters(orchestrator) == (0, 0))
        for wait in waits:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await wait()
        with pytest.raises(TimeoutError, match="has not ended within"):
            await run.result(0.01)
        async for stored in run.events(follow=True):
            assert stored.seq == 1
            break
        await once(lambda: waiters(orchestrator) == (0, 0))
        # the message was sent once, and is answered
        (question,) = await once(lambda: orchestrator.plain.approvals(silent.id))
        await orchestrator.decide(question.id, "approve")
        assert await silent.ask(talk.Say(text="x"), key="same") == "x"
        assert len(await silent.history()) == 1

    on_loop(body)


def test_a_result_that_is_there_needs_no_time(on_loop):
    async def body(orchestrator):
        run = await orchestrator.start(compensating.measures, "abc")
        await run
        assert await run.result(0) == await run.result(-1) == 3

    on_loop(body)


def test_closing_tells_everybody_who_waits(tmp_path):
    async def main() -> None:
        orchestrator = Orchestrator(tmp_path / "runs.db").aio
        run = await orchestrator.start(compensating.asks)
        silent = orchestrator.session(talk.careful, "c")

        async def follow() -> None:
            async for _ in run.events(follow=True):
                pass

        async def awaited() -> None:
            await run

        tasks = [asyncio.ensure_future(each) for each in (awaited(), follow(), silent.ask(talk.Say(text="x")))]
        await once(lambda: waiters(orchestrator) == (1, 2))
        await orchestrator.close()
        assert [type(each) for each in await asyncio.gather(*tasks, return_exceptions=True)] == [OrchestratorClosed] * 3
        for late in (awaited, follow, lambda: silent.ask(talk.Say(text="x"))):
            with pytest.raises(OrchestratorClosed):
                await late()

    asyncio.run(main())


def test_ctrl_c_ends_a_program_and_all_its_processes(tmp_path, mark):
    (tmp_path / "script.py").write_text(
        dedent("""
            import asyncio
            import sys
            from tests.acceptance.apps.steering import running
            from greenroom import Orchestrator

            async def main():
                async with Orchestrator("runs.db", home="home") as orchestrator:
                    await (await orchestrator.start(running.gated, sys.argv[1], id="gated"))

            asyncio.run(main())
        """)
    )
    process = subprocess.Popen(
        [sys.executable, "script.py", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually((tmp_path / "gate.reached").exists, 60)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert stderr.rstrip().endswith("KeyboardInterrupt")
    assert "Task" not in stderr
    assert process.returncode in {130, -signal.SIGINT, 1}
    assert not harness.census(mark)


# ---------------------------------------------------------------- many


def test_a_thousand_may_wait_at_once_without_a_thousand_threads(on_loop):
    async def body(orchestrator):
        before = threading.active_count()
        silent = orchestrator.session(talk.careful, "c")
        asks = [asyncio.ensure_future(silent.ask(talk.Say(text="x"), key="same")) for _ in range(1000)]
        run = await orchestrator.start(compensating.asks)
        results = [asyncio.ensure_future(run.result()) for _ in range(1000)]
        await once(lambda: waiters(orchestrator) == (1000, 1) and len(orchestrator.plain.approvals()) == 2)
        assert threading.active_count() - before < 60
        for question in await orchestrator.approvals():
            await orchestrator.decide(question.id, "approve")
        assert await asyncio.gather(*asks) == ["x"] * 1000
        assert len(await asyncio.gather(*results)) == 1000
        assert threading.active_count() - before < 60

    on_loop(body)


def test_several_loops_in_several_threads_share_one(tmp_path):
    async def use(orchestrator: AsyncOrchestrator, name: str) -> Any:
        session = orchestrator.session(talk.plain, name)
        run = await orchestrator.start(compensating.measures, name)
        events = [stored.type async for stored in run.events(follow=True)]
        return await session.ask(talk.Say(text=name)), await run, events[-1]

    found: list[Any] = []
    with Orchestrator(tmp_path / "runs.db") as plain:
        threads = [
            threading.Thread(target=lambda n=n: found.append(asyncio.run(use(plain.aio, "x" * n)))) for n in range(1, 5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == [(n, n, "run.completed") for n in range(1, 5)]


# ---------------------------------------------------------------- the client, and plain calls on a loop


def test_a_client_is_awaited_too(tmp_path):
    app = str(ROOT / "tests" / "acceptance" / "apps" / "sessions" / "talk.py")

    async def main() -> None:
        async with Client() as client:
            parrot = client.session(talk.parrot, "polly")
            assert await parrot.ask(talk.Say(text="hello"), 60) == talk.Reply(text="HELLO", turns=1)
            assert await parrot.state == talk.Memory(said=["HELLO"])
            run = await client.start(talk.listener)
            silent = client.session(talk.careful, "c")
            for wait in (run.result, lambda: silent.ask(talk.Say(text="x"), key="k")):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await wait()
            follow = asyncio.ensure_future(_types(run))
            await run.signal(talk.Word(text="hi"))
            assert await run == "hi"
            assert (await follow)[-1] == "run.completed"
            assert [stored.seq async for stored in run.events(after=1)][:1] == [2]
            assert isinstance(await client.send(ListWorkers()), Workers)
            with pytest.raises(RunNotFound):
                await client.get("nothing")
            with pytest.raises(TurnFailed, match="not today"):
                await client.session(talk.moody, "m").ask(talk.Say(text="raise"), 60)
            many = [client.session(talk.plain, str(n)).ask(talk.Say(text="four"), 60) for n in range(50)]
            assert await asyncio.gather(*many) == [4] * 50

    async def _types(run: Any) -> list[str]:
        return [stored.type async for stored in run.events(follow=True)]

    with Orchestrator() as orchestrator, Server(orchestrator, [app], port=0):
        asyncio.run(main())


def test_a_plain_call_that_waits_on_a_loop_works_and_says_what_to_write(tmp_path):
    async def main() -> None:
        with Orchestrator(tmp_path / "runs.db") as plain:
            run = plain.start(compensating.measures, "abc")
            with pytest.warns(RuntimeWarning, match="write `await run`") as seen:
                assert run.result(30) == 3
            assert seen[0].filename == __file__
            with pytest.warns(RuntimeWarning, match=r"write `await session\.aio\.ask"):
                assert plain.session(talk.plain, "p").ask(talk.Say(text="four"), 30) == 4
            with pytest.warns(RuntimeWarning, match="write `async for"):
                assert [stored.seq for stored in run.events(follow=True)][:1] == [1]
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert await run == 3
                assert [stored.seq async for stored in run.events(follow=True)][:1] == [1]
                assert [stored.seq for stored in run.events()][:1] == [1]
                assert [item async for item in run.stream(follow=True)] == []

    asyncio.run(main())
