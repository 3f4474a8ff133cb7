"""What every process backend promises of a worker's life, shown with real processes."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest

from greenroom.messages.codecs.codec import FROM_WORKER, HEADER
from greenroom.messages.core.failures import Exit
from greenroom.messages.core.json_text import plain
from greenroom.messages.frames.worker import Completed, Ready, Stop
from greenroom.messages.options.policy import Limits
from greenroom.supervision.process import frame_channel
from greenroom.supervision.process.output_capture import TAIL_BYTES
from greenroom.supervision.process.output_sources import Source, StreamName
from tests.supervision.harness import BACKENDS, Life, Scene, born
from tests.support import eventually

TIMEOUT = Exit(kind="timeout", detail="a step overran")


def test_a_worker_says_ready_and_answers(scene: Scene) -> None:
    async def story() -> None:
        life = await born(scene.backend)
        assert life.heard.pid == life.pid
        assert psutil.pid_exists(life.pid)
        assert await life.ask("echo", {"deep": [1, None, "ü", 2.5]}) == {"deep": [1, None, "ü", 2.5]}
        life.worker.send(Stop())
        end = await life.heard.exit()
        assert (end.kind, end.code, end.signal) == ("exited", 0, None)

    scene.run(story())


def test_frames_of_a_megabyte_cross_both_ways(scene: Scene) -> None:
    async def story() -> None:
        life = await born(scene.backend)
        value = "x" * 1_000_000
        assert await life.ask("echo", value) == value
        tokens = [life.tell("echo", [number, value]) for number in range(10)]
        for number, token in enumerate(tokens):
            assert (await life.heard.result(token))[0] == number
        await life.end_by("leave", 0)

    scene.run(story())


@pytest.mark.parametrize(
    ("command", "argument", "expected"),
    [
        ("leave", 3, ("exited", 3, None)),
        ("raise_exit", 5, ("exited", 5, None)),
        ("raise_exit", "goodbye", ("exited", 1, None)),
        ("raise_error", "not there", ("exited", 1, None)),
        ("segfault", None, ("signaled", None, "SIGSEGV")),
        ("kill_self", signal.SIGKILL, ("signaled", None, "SIGKILL")),
        ("kill_self", signal.SIGABRT, ("signaled", None, "SIGABRT")),
        ("kill_self", signal.SIGTERM, ("signaled", None, "SIGTERM")),
    ],
)
def test_each_way_to_end_is_told_apart(scene: Scene, command: str, argument: Any, expected: tuple[Any, ...]) -> None:
    async def story() -> Exit:
        life = await born(scene.backend)
        return await life.end_by(command, argument)

    end = scene.run(story())
    assert (end.kind, end.code, end.signal) == expected
    assert not end.injected
    assert not end.core_dumped
    assert end.peak_memory_mb is not None
    assert end.peak_memory_mb > 1
    assert end.cpu is not None


def test_a_crash_leaves_its_stack_in_the_evidence(scene: Scene) -> None:
    async def story() -> None:
        segfault = await (await born(scene.backend)).end_by("segfault")
        assert "Segmentation fault" in segfault.stderr
        assert "worker_entry.py" in segfault.stderr
        error = await (await born(scene.backend)).end_by("raise_error", "not there")
        assert "LookupError: not there" in error.stderr

    scene.run(story())


def test_a_result_sent_before_death_is_delivered(scene: Scene) -> None:
    async def story() -> None:
        life = await born(scene.backend)
        end = await life.end_by("answer_and_die", "last")
        assert end.signal == "SIGKILL"
        assert [m.result for m in life.heard.messages if isinstance(m, Completed)] == ["done"]

    scene.run(story())


LONG = [{} for _ in range(400_000)]
"""1.2 MB of text that takes a while to be understood."""


def said(life: Life, token: str) -> list[Any]:
    """Give the answers that were heard, the long one by its length."""
    answers = [plain(m.result) for m in life.heard.messages if isinstance(m, Completed) and m.token == token]
    return [len(answer) if isinstance(answer, list) else answer for answer in answers]


def test_a_long_message_is_delivered_before_what_follows_it_and_before_the_end(scene: Scene) -> None:
    async def story() -> None:
        for _ in range(5):
            life = await born(scene.backend)
            end = await life.end_by("answer_at_length", ["a", LONG, "die"])
            assert end.signal == "SIGKILL"
            assert said(life, "a") == [len(LONG), 0, 1, 2]

    scene.run(story())


def test_messages_behind_a_long_one_keep_their_order_in_a_life_that_goes_on(scene: Scene) -> None:
    async def story() -> None:
        life = await born(scene.backend)
        tokens = [life.tell("answer_at_length", [f"long-{number}", LONG, "live"]) for number in range(4)]
        await life.heard.result(tokens[-1])
        for number in range(4):
            assert said(life, f"long-{number}") == [len(LONG), 0, 1, 2]
        assert not life.worker.hearing
        await life.end_by("leave", 0)

    scene.run(story())


def test_a_long_message_that_is_none_ends_the_life_and_nothing_behind_it_is_heard(scene: Scene) -> None:
    async def story() -> None:
        life = await born(scene.backend)
        end = await life.end_by("answer_at_length", ["a", LONG, "garbage"])
        assert end.kind == "garbage"
        assert said(life, "a") == []

    scene.run(story())


def test_what_comes_between_a_long_message_and_a_fault_is_heard(scene: Scene) -> None:
    async def story() -> None:
        life = await born(scene.backend)
        end = await life.end_by("answer_at_length", ["a", LONG, "fault"])
        assert end.kind == "garbage"
        assert said(life, "a") == [len(LONG), 0, 1, 2]

    scene.run(story())


@pytest.mark.parametrize("kind", BACKENDS)
def test_a_backend_is_closed_once_all_that_was_said_is_delivered(kind: str, make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(kind)

    async def story() -> None:
        lives = [await born(scene.backend, number) for number in (1, 2, 3)]
        for life in lives:
            life.tell("answer_at_length", ["a", LONG, "live"])
        while not any(life.worker.hearing for life in lives):  # noqa: ASYNC110  it announces itself in no other way
            await asyncio.sleep(0)
        await scene.backend.close()
        assert all(life.heard.end.done() for life in lives)
        assert not any(life.worker.hearing for life in lives)

    scene.run(story())


def test_the_loop_goes_on_while_a_long_message_is_understood(scene: Scene) -> None:
    """The longest gap is compared with the time that the same takes on the spot, on a machine as busy as it is."""

    async def story() -> None:
        life = await born(scene.backend)
        value = [{} for _ in range(5_000_000)]
        body = FROM_WORKER.encode(Completed(token="a", result=value, duration=0.0))[HEADER.size :]
        begun = time.perf_counter()
        FROM_WORKER.decode(body)
        on_the_spot = time.perf_counter() - begun
        life.tell("repeat", ["{}", 5_000_000])
        gaps: list[float] = []
        last = time.perf_counter()
        while not any(isinstance(m, Completed) for m in life.heard.messages):
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            if life.worker.hearing:
                gaps.append(now - last)
            last = now
        assert len(gaps) > 5, "it was understood in another thread"
        assert max(gaps) < on_the_spot / 2
        await life.end_by("leave", 0)

    scene.run(story())


def test_an_ordered_kill_reports_its_reason_and_the_facts(scene: Scene) -> None:
    async def story() -> None:
        life = await born(scene.backend)
        life.worker.kill(Exit(kind="stopped", detail="idle"))
        end = await life.heard.exit()
        assert (end.kind, end.detail, end.signal, end.injected) == ("stopped", "idle", "SIGKILL", False)
        life.worker.kill(TIMEOUT)  # too late, and harmless
        life.worker.send(Stop())
        life.worker.signal(9)

    scene.run(story())


def test_an_injected_signal_is_marked(scene: Scene) -> None:
    async def story() -> None:
        life = await born(scene.backend)
        life.worker.signal(signal.SIGKILL)
        end = await life.heard.exit()
        assert (end.kind, end.signal, end.injected) == ("signaled", "SIGKILL", True)

    scene.run(story())


def test_a_stopped_process_is_killed_at_once(scene: Scene) -> None:
    async def story() -> None:
        life = await born(scene.backend)
        life.worker.signal(signal.SIGSTOP)
        process = psutil.Process(life.pid)
        eventually(lambda: process.status() == psutil.STATUS_STOPPED)
        life.worker.kill(Exit(kind="hung"))
        end = await life.heard.exit()
        assert (end.kind, end.signal, end.injected) == ("hung", "SIGKILL", True)

    scene.run(story())


@pytest.mark.parametrize("command", ["hold_the_lock", "wait_for_ever", "burn"])
def test_stuck_code_is_killed_and_says_where_it_was(scene: Scene, command: str) -> None:
    async def story() -> None:
        life = await born(scene.backend)
        await life.ask("echo")
        life.tell(command)
        process = psutil.Process(life.pid)
        if command != "wait_for_ever":
            before = sum(process.cpu_times()[:2])
            eventually(lambda: sum(process.cpu_times()[:2]) > before + 0.1)
        life.worker.kill(TIMEOUT)
        end = await life.heard.exit()
        assert (end.kind, end.detail, end.signal) == ("timeout", "a step overran", "SIGKILL")
        if command != "wait_for_ever":
            assert f"in {command}" in end.stderr

    scene.run(story())


def test_sigterm_ends_even_code_that_holds_the_interpreter(scene: Scene) -> None:
    async def story() -> None:
        life = await born(scene.backend)
        life.tell("hold_the_lock")
        life.worker.kill(Exit(kind="stopped"), signal=signal.SIGTERM)
        assert (await life.heard.exit()).signal == "SIGTERM"

    scene.run(story())


def test_sigkill_follows_where_sigterm_is_ignored(scene: Scene) -> None:
    async def story() -> None:
        life = await born(scene.backend)
        await life.ask("ignore_term")
        life.worker.kill(Exit(kind="stopped"), signal=signal.SIGTERM)
        assert (await life.heard.exit()).signal == "SIGKILL"

    scene.run(story())


def test_a_kill_before_the_process_exists_is_carried_out(scene: Scene) -> None:
    async def story() -> None:
        life = Life(scene.backend)
        life.worker.kill(Exit(kind="stopped"))
        assert (await life.heard.exit()).kind == "stopped"

    scene.run(story())


# ---------------------------------------------------------------- output


def test_a_flood_of_output_never_blocks_and_its_end_is_kept(scene: Scene) -> None:
    async def story() -> None:
        life = await born(scene.backend)
        assert await life.ask("flood", 20) is True
        end = await life.end_by("flood_and_leave", 20)
        assert end.stderr.endswith("e\nthe last words\n")
        assert len(end.stderr) == TAIL_BYTES

    scene.run(story())


@pytest.mark.parametrize("kind", ["zygote", "spawn"])
def test_output_is_handed_on_as_it_is_read(make_scene: Any, kind: str) -> None:
    heard: list[tuple[Source, str, bytes]] = []

    def hear(source: Source, stream: StreamName, data: bytes) -> None:
        heard.append((source, stream, data))

    def said(stream: str) -> bytes:
        return b"".join(data for _, name, data in heard if name == stream)

    scene = make_scene(kind, on_output=hear)

    async def story() -> None:
        life = await born(scene.backend)
        await life.ask("print_lines", ["one", "zwei ü", ""])
        await life.end_by("leave", 0)
        assert said("stdout") == said("stderr") == "one\nzwei ü\n\n".encode()
        assert {source.worker for source, _, _ in heard} == {"tool-1"}
        assert heard[-1][2] == b"", "the end of the source comes last"
        heard.clear()
        many = await born(scene.backend)
        await many.ask("print_lines", ["again"] * 20_000)
        await many.end_by("leave", 0)
        assert said("stdout") == b"again\n" * 20_000
        assert len(heard) < 10_000, "not one call for each line"

    scene.run(story())


# ---------------------------------------------------------------- the tree


@pytest.mark.parametrize("how", ["leave", "kill", "kill_self"])
def test_no_process_of_a_workers_tree_outlives_it(scene: Scene, how: str) -> None:
    async def story() -> None:
        life = await born(scene.backend)
        tree = [*await life.ask("family"), await life.ask("subprocess_sleep"), await life.ask("clean_daemon")]
        assert len(tree) == 5
        assert all(psutil.pid_exists(pid) for pid in tree)
        life.heard.end.add_done_callback(lambda _: gone.extend(pid for pid in tree if not psutil.pid_exists(pid)))
        gone: list[int] = []
        if how == "kill":
            life.worker.kill(TIMEOUT)
        else:
            life.tell(how, 0 if how == "leave" else signal.SIGSEGV)
        await life.heard.exit()
        assert gone == tree  # at the very moment of the report, although some of them held the worker's socket

    scene.run(story())


def test_ending_one_worker_leaves_the_others_families_alone(scene: Scene) -> None:
    async def story() -> None:
        first, second = await born(scene.backend, 1), await born(scene.backend, 2)
        tree = [*await second.ask("family"), await second.ask("clean_daemon")]
        await first.ask("family")
        await first.end_by("kill_self", signal.SIGKILL)
        assert all(psutil.pid_exists(pid) for pid in tree)
        assert await second.ask("echo", "still here") == "still here"
        await second.end_by("leave", 0)
        assert not any(psutil.pid_exists(pid) for pid in tree)

    scene.run(story())


# ---------------------------------------------------------------- bytes


@pytest.mark.parametrize("kind", ["length", "version", "json", "type", "depth", "pickle", "life", "mixed"])
def test_bytes_that_are_no_message_end_the_life(scene: Scene, kind: str) -> None:
    async def story() -> None:
        life = await born(scene.backend)
        end = await life.end_by("send_bytes", kind)
        assert end.kind == "garbage"
        assert end.detail
        assert len([m for m in life.heard.messages if isinstance(m, Ready)]) == (3 if kind == "mixed" else 1)

    scene.run(story())


def test_half_a_message_before_death_is_no_message(scene: Scene) -> None:
    async def story() -> None:
        life = await born(scene.backend)
        end = await life.end_by("send_half_and_die")
        assert (end.kind, end.code) == ("exited", 4)
        assert not any(isinstance(m, Completed) for m in life.heard.messages)

    scene.run(story())


def test_the_end_of_the_socket_is_not_yet_death(scene: Scene) -> None:
    async def story() -> None:
        end = await (await born(scene.backend)).end_by("hang_up_and_leave", 7)
        assert (end.kind, end.code) == ("exited", 7)
        end = await (await born(scene.backend)).end_by("hang_up")
        assert (end.kind, end.signal) == ("hung", "SIGKILL")
        assert "shut its socket down" in end.detail

    scene.run(story())


def test_a_worker_that_does_not_read_blocks_nobody(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_channel, "HIGH_WATER_BYTES", 8_000_000)
    monkeypatch.setattr(frame_channel, "UNREAD_SECONDS", 0.5)

    async def story() -> None:
        deaf, well = await born(scene.backend, 1), await born(scene.backend, 2)
        deaf.worker.signal(signal.SIGSTOP)
        for _ in range(5):
            deaf.tell("echo", "x" * 1_000_000)
        assert await well.ask("echo", "quick") == "quick"
        os.kill(deaf.pid, signal.SIGCONT)
        assert await deaf.ask("echo", "at last") == "at last"
        deaf.worker.signal(signal.SIGSTOP)
        stopped = asyncio.get_running_loop().time()
        while not deaf.heard.end.done():
            deaf.tell("echo", "x" * 1_000_000)
            await asyncio.sleep(0.05)  # it is given half a second to read, and none of this time
        end = await deaf.heard.exit()
        assert end.kind == "hung"
        assert "unread" in end.detail
        assert asyncio.get_running_loop().time() - stopped >= 0.5
        assert await well.ask("echo", "still") == "still"
        await well.end_by("leave", 0)

    scene.run(story())


# ---------------------------------------------------------------- limits


def test_an_allocation_over_the_limit_is_an_ordinary_exception(scene: Scene) -> None:
    async def story() -> None:
        life = await born(scene.backend, limits=Limits(memory_mb=256))
        assert await life.ask("allocate", 400) == "MemoryError"
        assert await life.ask("allocate", 10) == 10
        end = await life.end_by("die_of_memory", 400)
        assert (end.kind, end.code) == ("out_of_memory", 1)

    scene.run(story())


def test_used_up_cpu_seconds_end_the_life(scene: Scene) -> None:
    async def story() -> None:
        life = await born(scene.backend, limits=Limits(cpu=1))
        end = await life.end_by("burn")
        assert (end.kind, end.signal) == ("cpu_limit", "SIGXCPU")
        assert end.detail == "its limit is 1 s; `cpu=` gives it more"

    scene.run(story())


def test_a_worker_sees_what_it_is_allowed_to_and_nothing_else(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("PLANTED_SECRET", "s3cret")
    monkeypatch.setenv("WANTED", "value")
    oom_score_adj = int(Path("/proc/self/oom_score_adj").read_text())

    async def story() -> None:
        limits = Limits(env=("WANTED", "ABSENT"), workdir=str(tmp_path), open_files=77)
        life = await born(scene.backend, limits=limits)
        seen = await life.ask("describe_self")
        assert "PLANTED_SECRET" not in seen["environ"]
        assert seen["environ"]["WANTED"] == "value"
        assert "ABSENT" not in seen["environ"]
        assert len(seen["descriptors"]) == 5  # the standard streams, the socket, and the listing itself
        assert seen["session"] == seen["pid"] == life.pid
        assert seen["parent"] != os.getpid()
        assert seen["threads"] == 1
        assert seen["no_new_privs"] == "1"
        assert seen["oom_score_adj"] > oom_score_adj
        assert seen["workdir"] == str(tmp_path)
        assert seen["sigterm"]
        assert seen["stdin"] == ""
        assert "PLANTED_SECRET" not in psutil.Process(life.pid).environ()
        await life.end_by("leave", 0)

    scene.run(story())


def test_ctrl_c_ends_no_worker_and_what_a_worker_starts_has_every_signal_at_its_default(scene: Scene) -> None:
    inherited, ours = mask(ignored_here()), mask(signal.valid_signals())  # the C library has two more to itself

    async def story() -> None:
        life = await born(scene.backend)
        for process in (life.pid, scene.zygote, scene.keeper):
            os.kill(process, signal.SIGINT)
        os.kill(life.pid, signal.SIGPIPE)
        os.kill(life.pid, signal.SIGXFSZ)
        seen = await life.ask("describe_self")
        assert {name: value & ours for name, value in seen["signals"].items()} == {"SigIgn": inherited, "SigBlk": 0}
        other = await born(scene.backend, 2)  # the zygote works on
        for each in (life, other):
            await each.end_by("leave", 0)

    scene.run(story())


def mask(numbers: Iterable[int]) -> int:
    """Write signals as the kernel does, a bit each."""
    return sum(1 << number - 1 for number in numbers)


def ignored_here() -> list[int]:
    """What the tests themselves were started with, as under ``nohup``, is everybody's to inherit."""
    ours = {signal.SIGPIPE, signal.SIGXFSZ}  # Python's own doing
    return [number for number in signal.valid_signals() - ours if signal.getsignal(number) is signal.SIG_IGN]


def test_many_workers_at_once_are_kept_apart(scene: Scene) -> None:
    count = 12 if scene.kind == "zygote" else 3

    async def story() -> None:
        lives = [Life(scene.backend, number) for number in range(1, count + 1)]
        await asyncio.gather(*(life.heard.ready() for life in lives))
        answers = await asyncio.gather(*(life.ask("echo", number) for number, life in enumerate(lives)))
        assert answers == list(range(count))
        ends = await asyncio.gather(*(life.end_by("leave", number) for number, life in enumerate(lives)))
        assert [end.code for end in ends] == list(range(count))

    scene.run(story())
