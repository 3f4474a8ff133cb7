"""The zygote: a single-threaded process that forks workers, and ends each dead worker's whole process tree.

It imports what all workers need, is told its app, and imports that once, so that a worker costs only a fork. Zygote
and workers are subreapers: processes below a live worker stay with it, and become children of the zygote when it dies.
So a child that was not forked as a worker is an orphan of a dead worker. Orphans are killed until none is left. Only
then the worker is reaped and reported ended.

In ``fresh`` mode the zygote loads nothing, and its children execute new interpreters.
"""

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final, NoReturn

from greenroom.messages.core.frozen import mutable
from greenroom.messages.core.message import Message
from greenroom.messages.core.source_mark import source_mark
from greenroom.supervision.kernel import linux
from greenroom.supervision.process.child_setup import become_worker, reset_signals, run_worker, take_environment
from greenroom.supervision.zygote import exec_worker
from greenroom.supervision.zygote.app_loader import Import, load_app, resolve
from greenroom.supervision.zygote.messages import (
    FROM_ZYGOTE,
    MAX_PACKET_BYTES,
    MAX_TEXT,
    OUTDATED,
    TO_ZYGOTE,
    Boot,
    Ended,
    Launch,
    Launched,
    LaunchFailed,
    Loaded,
    LoadFailed,
    is_outdated,
)

NAME: Final = "greenroom-zyg"
"""Name of the process for tools such as ``ps``. The kernel keeps 15 characters."""
THREADS_END: Final = 0.5
"""Seconds that stopping threads have to end."""


def serve(control: int, keeper: int, lock: int, stack: int, prepare: str) -> NoReturn:
    """Run the zygote until the control socket ends or the keeper dies. Called in the keeper's child.

    Args:
        control: Descriptor of the packet socket to the orchestrator.
        keeper: The keeper's pidfd.
        lock: Descriptor of the generation lock, which workers inherit, or -1.
        stack: Descriptor of the pipe to which the import's stack is written.
        prepare: Function as ``"module:function"`` to call before the app is known; empty for none.
    """
    linux.adopt_orphans()
    linux.set_name(NAME)
    channel = socket.socket(fileno=control)
    if prepare:
        resolve(prepare)()
    ours = source_mark()
    gc.freeze()  # so that a collection during the import of the app is as short as in a fresh interpreter
    gc.enable()
    packet = channel.recv(MAX_PACKET_BYTES)
    if not packet:  # the orchestrator is gone, or needs no zygote
        _leave()
    if is_outdated(json.loads(packet), ours):  # and so it may be no ``Boot`` of this code
        channel.send(FROM_ZYGOTE.dump_json(LoadFailed(sentence=OUTDATED, outdated=True)))
        os._exit(0)
    boot = TO_ZYGOTE.validate_json(packet)
    zygote = Zygote(channel, keeper, lock, boot)
    done, size = exec_worker.probe(boot, stack) if boot.fresh else (zygote.load(stack), linux.data_kib())
    os.close(stack)
    if done.failure:
        zygote.say(LoadFailed(sentence=done.failure[-MAX_TEXT:], killed=done.killed, threaded=done.threaded))
        os._exit(0)
    reset_signals()
    zygote.say(Loaded(pid=os.getpid(), data_kib=size, variables=dict(done.variables)))
    zygote.run()


@mutable
class _Worker:
    """A child that was forked as a worker. Read and written by the zygote's only thread."""

    id: int
    pid: int
    pidfd: int


class Zygote:
    """State of the zygote: its workers, the dead ones, and the orphans that are being ended."""

    def __init__(self, control: socket.socket, keeper: int, lock: int, boot: Boot) -> None:
        """Keep the control socket; nothing runs yet."""
        self._control = control
        self._keeper = keeper
        self._boot = boot
        self._pid = os.getpid()
        self._main: Callable[..., object] | None = None
        self._workers: dict[int, _Worker] = {}  # by pidfd, from the fork to the report of the end
        self._dead: list[_Worker] = []  # ended and not reaped, so their pids cannot be reused
        self._orphans: dict[int, int] = {}  # pidfd to pid, from the kill to the reaping
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(keeper, select.POLLIN)
        self._keep = {lock} if lock >= 0 else set[int]()

    def load(self, stack: int) -> Import:
        """Import and warm up the app. Return how that ended."""
        before = _open_descriptors()
        done = load_app(self._boot, stack)
        if done.failure:
            return done
        self._main = resolve(self._boot.main)
        if (threads := _count_forked_threads()) > 1:
            started = "a thread" if threads == 2 else f"{threads - 1} threads"  # noqa: PLR2004  the main one is another
            return Import(
                f"{self._boot.app} starts {started} while it is imported ({', '.join(_thread_names())}), and a process "
                "with threads cannot be forked: each worker imports the app by itself, and starts in the time of that. "
                "For workers that start in milliseconds, start them, or import the library that starts them, in the "
                'functions that need it or under `if __name__ == "__main__":`',
                threaded=True,
            )
        # Descriptors that the app's import has opened are part of its state, like its globals.
        self._keep |= _open_descriptors() - before
        gc.disable()
        gc.collect()
        gc.freeze()  # a collection in a worker would write to, and so copy, the pages that it shares with the zygote
        # An entry that a worker replaces in the cache of attributes of types is a write to the name in the old one,
        # which lies on a page of what only the import used: a quarter of a megabyte in each worker.
        sys._clear_type_cache()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # a documented function
        return done

    def say(self, message: Message) -> None:
        """Send a packet. Blocks while the orchestrator does not read, for example because it is stopped."""
        try:
            self._control.send(FROM_ZYGOTE.dump_json(message))
        except OSError:  # the orchestrator is gone
            _leave()

    def run(self) -> NoReturn:
        """Handle launches and deaths until the control socket or the keeper ends; then end the process.

        During the import the kernel kills the zygote with its keeper, as it cannot watch it. From now on it must
        outlive the keeper: if both died at once, no process would end the orphans.
        """
        linux.outlive_parent()
        self._reap_dead()  # a process that the import started belongs to no worker
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._workers:
                    self._note_death(descriptor)
                elif descriptor in self._orphans:
                    self._reap_orphan(descriptor)
                elif descriptor == self._keeper:
                    _leave()
                else:
                    self._take_packet()
            if self._dead or self._orphans:
                self._reap_dead()

    def _take_packet(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, MAX_PACKET_BYTES, 3, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:  # the orchestrator is gone, and has not read all packets
            _leave()
        if not data:
            _leave()
        self._launch(TO_ZYGOTE.validate_json(data), descriptors)

    def _launch(self, launch: Launch, descriptors: list[int]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError as error:
            from greenroom.supervision.process.refused_resource import with_remedy  # noqa: PLC0415  few need it

            self.say(LaunchFailed(id=launch.id, reason=f"the kernel refused another process: {with_remedy(error)}"))
        else:
            if pid == 0:
                self._live(launch, descriptors)
            pidfd = os.pidfd_open(pid)
            self._workers[pidfd] = _Worker(launch.id, pid, pidfd)
            self._poll.register(pidfd, select.POLLIN)
            self.say(Launched(id=launch.id, pid=pid))
        for descriptor in descriptors:
            os.close(descriptor)

    def _live(self, launch: Launch, descriptors: list[int]) -> NoReturn:
        """Run the child until its end. This must never return into the zygote's loop."""
        try:
            connection, stdout, stderr = descriptors
            become_worker(launch.spec, self._pid, (stdout, stderr), self._keep | {connection})
            if self._boot.fresh:
                task = exec_worker.Fresh(
                    boot=self._boot, spec=launch.spec, descriptor=connection, own_environment=launch.own_environment
                )
                exec_worker.execute(task)
            if launch.own_environment:
                take_environment(connection)
            assert self._main is not None  # set by ``load`` before any launch
            run_worker(connection, launch.spec, self._main)
        except BaseException:  # noqa: BLE001  a failed set-up must end this process
            traceback.print_exc()
        finally:
            os._exit(1)

    def _note_death(self, pidfd: int) -> None:
        worker = self._workers.pop(pidfd)
        self._poll.unregister(pidfd)
        self._dead.append(worker)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # its group is empty, or belongs to another user
            os.killpg(worker.pid, signal.SIGKILL)

    def _reap_dead(self) -> None:
        """Kill the orphans of dead workers. If none is left, reap these workers and report their end.

        The kernel reparents the children of a process before its end can be seen, so no orphan is missed.
        """
        known = {worker.pid for worker in self._workers.values()}
        known.update(worker.pid for worker in self._dead)
        known.update(self._orphans.values())
        for pid in linux.child_pids():
            if pid not in known:
                linux.kill_with_group(pid)
                pidfd = os.pidfd_open(pid)
                self._orphans[pidfd] = pid
                self._poll.register(pidfd, select.POLLIN)
        if self._orphans:
            return
        for worker in self._dead:
            _, status, usage = os.wait4(worker.pid, 0)
            os.close(worker.pidfd)
            cpu = usage.ru_utime + usage.ru_stime
            self.say(Ended(id=worker.id, status=status, peak_kib=usage.ru_maxrss, cpu=cpu))
        self._dead.clear()

    def _reap_orphan(self, pidfd: int) -> None:
        pid = self._orphans.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        os.waitpid(pid, 0)


def _leave() -> NoReturn:
    """End this process and all its descendants. The keeper would do so too, unless it is stopped."""
    linux.end_descendants()
    os._exit(0)


def _count_forked_threads() -> int:
    """Return how many threads this process has where it forks, after stopping threads have had time to end.

    A joined thread may still be listed, as it releases its lock before it leaves the kernel. In every zygote the
    thread of faulthandler's timer is such a thread. Some libraries end their threads before each fork, and start them
    again on the next use, as the OpenBLAS of numpy does. So threads are counted after a fork.
    """
    if _count_threads() > 1:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    end = time.monotonic() + THREADS_END
    while (threads := _count_threads()) > 1 and time.monotonic() < end:
        time.sleep(0.001)
    return threads


def _count_threads() -> int:
    return len(linux.numbers_in("/proc/self/task"))


def _thread_names() -> list[str]:
    """Return what the threads beside the main one are called, by Python or else by the library that started them."""
    names = linux.thread_names() | {each.native_id: each.name for each in threading.enumerate()}
    return list(dict.fromkeys(name for number, name in names.items() if number != os.getpid()))


def _open_descriptors() -> set[int]:
    return set(linux.numbers_in("/proc/self/fd"))
