"""The orchestrator's handle of a keeper, its zygote and their control socket."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.secrets.redaction import Redactor
from greenroom.supervision.process.output_capture import Capture
from greenroom.supervision.zygote.app_loader import users_stack, without_ours
from greenroom.supervision.zygote.import_progress import Place, SlowImport, Watchdog
from greenroom.supervision.zygote.keeper_process import GRACE, Inheritance, KeeperProcess
from greenroom.supervision.zygote.messages import (
    FROM_ZYGOTE,
    MAX_PACKET_BYTES,
    SENT_BY_OTHERS,
    TO_ZYGOTE,
    Boot,
    Launch,
    Loaded,
    LoadFailed,
    ZygoteEnded,
)

QUOTED_CHARACTERS: Final = 4000


class ZygoteHandle:
    """A keeper and its zygote, which are started once. Reactor thread only.

    Attributes:
        lineage: The mark that all their processes carry in the command line or the environment.
        gone: Set when the keeper is dead.
        clean: True if the keeper ended by itself, which it does when it has no descendants left.
        killed: True if it was ended from outside, and not by user code, see ``SENT_BY_OTHERS``.
        crashed: True if SIGSEGV ended the zygote.
        threaded: Why the loaded app cannot be forked, as a sentence for users; empty if it can or is not loaded.
        zygote: The zygote's pid once the app is loaded, else 0.
        data_kib: Memory of the loaded app that counts under a worker's memory limit.
        variables: Names of the environment variables that its workers get besides, by kind of worker.
        shared: The environment variables that workers are forked with.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        lineage: str,
        on_message: Callable[[Any], None],
        on_lost: Callable[[str], None],
        redactor: Redactor,
        shared: Mapping[str, str],
        *,
        place: Place,
        on_slow: Callable[[SlowImport | None], None],
    ) -> None:
        """Keep the arguments; no process is started yet.

        Args:
            loop: The reactor's loop.
            lineage: The mark, unique to this keeper.
            on_message: Called with every packet about workers.
            on_lost: Called once, with a sentence, when the zygote or the keeper is gone or counts as lost.
            redactor: Removes secrets from the output of the app's import.
            shared: The variables of the import and of every worker that is forked after it.
            place: Finds the user's line in a stack.
            on_slow: Called with the current line of a slow import, and with None when the import is over.
        """
        self._place = place
        self._on_slow = on_slow
        self._watchdog: Watchdog | None = None
        self.shared = shared
        self.lineage = lineage
        self.gone = asyncio.Event()
        self.clean = False
        self.killed = False
        self.crashed = False
        self.threaded = ""
        self.zygote = 0
        self.data_kib = 0
        self.variables: Mapping[str, tuple[str, ...]] = {}
        self._loop = loop
        self._on_message = on_message
        self._on_lost = on_lost
        self._redactor = redactor
        self._lost = False
        self._keeper_end = ""
        """How the keeper ended, if it did not end by itself."""
        self._loaded: asyncio.Future[Any] = loop.create_future()
        self._outbox: deque[tuple[bytes, list[int], Callable[[], None]]] = deque()
        self._control: socket.socket | None = None
        self._starting: asyncio.Future[KeeperProcess] | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._keeper_pidfd: int | None = None
        self._zygote_pidfd: int | None = None
        self._zygote_gone = asyncio.Event()
        self._output: Capture | None = None

    async def start(
        self, boot: Boot, inheritance: Inheritance, lock: int | None, keeper: KeeperProcess | None = None
    ) -> None:
        """Start both processes and wait until the app is loaded.

        Args:
            boot: The app to load, and how.
            inheritance: What both processes inherit.
            lock: Descriptor of the generation lock; None in tests that need none.
            keeper: A keeper that runs already and has this object's mark; None to start one.

        Raises:
            DefinitionError: The app cannot be loaded, or not in time.
            OSError: There is no process to load it in.
        """
        if keeper is None:  # starting one blocks until the new program runs
            start = partial(KeeperProcess.start, self.lineage, inheritance, lock)
            self._starting = self._loop.run_in_executor(None, start)
            running = await asyncio.shield(self._starting)
        else:
            running = keeper
        self._adopt(running)
        self._watchdog = Watchdog(self._loop, running.stack, boot.timeout, self._place, self._on_slow)
        self._post(TO_ZYGOTE.dump_json(boot), [])
        try:
            answer = await asyncio.wait_for(asyncio.shield(self._loaded), boot.timeout)
        except TimeoutError:
            raise DefinitionError(self._late(boot) + self._said()) from None
        finally:
            self._watchdog.close()
        if isinstance(answer, LoadFailed) and answer.outdated:
            raise OSError(answer.sentence)
        if isinstance(answer, LoadFailed):
            self.killed = self.killed or answer.killed
            sentence = self._redactor.text(answer.sentence)
            self.threaded = sentence if answer.threaded else ""
            raise DefinitionError(sentence + self._said())
        if not isinstance(answer, Loaded):
            died = f"{boot.app} cannot be loaded: {await self._cause(answer)} while it imported it"
            raise DefinitionError(died + self._said())
        self.zygote, self.data_kib, self.variables = answer.pid, answer.data_kib, answer.variables
        try:
            self._zygote_pidfd = os.pidfd_open(answer.pid)
        except ProcessLookupError:  # it has died since, which the keeper will report
            self._zygote_gone.set()
        else:
            self._loop.add_reader(self._zygote_pidfd, self._zygote_died)

    async def _cause(self, noticed: str) -> str:
        """Return what the loss of the zygote began with, of which ``noticed`` is what was noticed first.

        If the keeper is killed, the zygote dies with it and their socket ends. Which of these is seen first is chance.
        In every case the keeper is dead or about to end.
        """
        with contextlib.suppress(TimeoutError):  # it is stopped, or a process under it cannot be killed
            await asyncio.wait_for(self.gone.wait(), GRACE)
        return self._keeper_end or noticed

    def _adopt(self, keeper: KeeperProcess) -> None:
        self._control = keeper.control
        self._control.setblocking(False)  # noqa: FBT003  the standard library's own flag
        self._output = Capture(self._loop, keeper.output, redactor=self._redactor)
        self._keeper = keeper.popen
        self._keeper_pidfd = os.pidfd_open(keeper.popen.pid)
        self._loop.add_reader(self._keeper_pidfd, self._keeper_died)
        self._loop.add_reader(self._control, self._readable)

    def launch(self, launch: Launch, descriptors: list[int], sent: Callable[[], None]) -> None:
        """Request a fork; ``sent`` is called when the kernel has the descriptors, so that they can be closed."""
        self._post(TO_ZYGOTE.dump_json(launch), descriptors, sent)

    def give_up(self, why: str) -> None:
        """Treat the zygote as lost: kill it, so that the keeper ends all its descendants."""
        self._kill_zygote()
        self._lose(why)

    async def end(self) -> None:
        """Let the keeper kill all its descendants, wait until that is done, and close all descriptors."""
        self._lost = True
        if self._keeper is None and self._starting is not None:  # the start was cancelled while the program was started
            with contextlib.suppress(OSError):  # no program was started
                keeper = await self._starting
                self._adopt(keeper)
                os.close(keeper.stack)
        self._close_control()  # keeper and zygote notice this
        if self._keeper is not None:
            try:
                await asyncio.wait_for(self.gone.wait(), GRACE)
            except TimeoutError:  # stopped, or a process under it cannot be killed
                self._keeper.kill()
                await self.gone.wait()
        if self.zygote:
            try:
                await asyncio.wait_for(self._zygote_gone.wait(), GRACE)
            except TimeoutError:  # it has lost its keeper, and is itself stopped
                self._kill_zygote()
                await self._zygote_gone.wait()
        if self._watchdog is not None:
            self._watchdog.close()
        if self._output is not None:
            self._output.drain()

    # ---------------------------------------------------------------- packets

    def _post(self, packet: bytes, descriptors: list[int], sent: Callable[[], None] = lambda: None) -> None:
        self._outbox.append((packet, descriptors, sent))
        if len(self._outbox) == 1:
            self._flush()

    def _flush(self) -> None:
        while self._outbox and self._control is not None:
            packet, descriptors, sent = self._outbox[0]
            try:
                socket.send_fds(self._control, [packet], descriptors)
            except BlockingIOError:
                self._loop.add_writer(self._control, self._flush)
                return
            except OSError:  # its reader is dead, which is reported elsewhere
                self._outbox.clear()
                break
            self._outbox.popleft()
            sent()
        if self._control is not None:
            self._loop.remove_writer(self._control)

    def _readable(self) -> None:
        while self._control is not None:
            try:
                packet = self._control.recv(MAX_PACKET_BYTES)
            except BlockingIOError:
                return
            except ConnectionResetError:  # a packet of ours was not read, which is told before what was sent to us
                continue
            except OSError:
                packet = b""
            if not packet:
                self._close_control()
                self._lose("the zygote closed its control socket")
                return
            message = FROM_ZYGOTE.validate_json(packet)
            if isinstance(message, ZygoteEnded):
                ended_by = os.WTERMSIG(message.status) if os.WIFSIGNALED(message.status) else 0
                self.killed, self.crashed = ended_by in SENT_BY_OTHERS, ended_by == signal.SIGSEGV
                self._lose(f"the zygote {_how(os.waitstatus_to_exitcode(message.status))}")
            elif isinstance(message, Loaded | LoadFailed):
                self._answer(message)
            else:
                self._on_message(message)

    def _answer(self, answer: object) -> None:
        if not self._loaded.done():
            self._loaded.set_result(answer)

    def _lose(self, why: str) -> None:
        if not self._lost:
            self._lost = True
            self._answer(why)
            self._on_lost(why)

    def _keeper_died(self) -> None:
        assert self._keeper is not None  # its pidfd has been opened
        assert self._keeper_pidfd is not None  # the same
        self._loop.remove_reader(self._keeper_pidfd)
        os.close(self._keeper_pidfd)
        self._keeper_pidfd = None
        try:
            self._readable()  # its last packets
        finally:
            self._see_keeper_dead(self._keeper)

    def _see_keeper_dead(self, process: subprocess.Popen[bytes]) -> None:
        status = process.wait()  # returns at once, as the process is dead
        self.clean = status == 0
        self.killed = self.killed or status < 0  # whatever the signal: no code of a user runs in the keeper
        how = f"the keeper of the zygote {_how(status)}"
        self._keeper_end = "" if self.clean else how
        self._lose(how)
        self.gone.set()

    def _zygote_died(self) -> None:
        assert self._zygote_pidfd is not None  # it has just become readable
        self._loop.remove_reader(self._zygote_pidfd)
        os.close(self._zygote_pidfd)
        self._zygote_pidfd = None
        self._zygote_gone.set()

    def _kill_zygote(self) -> None:
        if self._zygote_pidfd is not None:
            with contextlib.suppress(ProcessLookupError):  # it has just been reaped
                signal.pidfd_send_signal(self._zygote_pidfd, signal.SIGKILL)

    def _close_control(self) -> None:
        if self._control is not None:
            self._loop.remove_reader(self._control)
            self._loop.remove_writer(self._control)
            self._control.close()
            self._control = None
            for _, _, sent in self._outbox:
                sent()
            self._outbox.clear()

    def _late(self, boot: Boot) -> str:
        """Return the message that the import took too long, with its line and the option for a longer limit."""
        assert self._watchdog is not None  # created by ``start``
        self._watchdog.catch_up()
        at = f", and was at {self._watchdog.place}" if self._watchdog.place else ""
        stood = users_stack(self._watchdog.stack)
        return (
            f"{boot.app} cannot be loaded: its import had not ended after {boot.timeout:g} s{at}. What takes longer "
            "than that is given more time with `--import-timeout SECONDS`, with `import_timeout` under "
            "`[tool.greenroom]` in pyproject.toml or with `Orchestrator(import_timeout=SECONDS)`"
            + (f"\nIt stood here:\n{self._redactor.text(stood)[:QUOTED_CHARACTERS]}" if stood else "")
        )

    def _said(self) -> str:
        """Return the last output of the import, as a quotation."""
        assert self._output is not None  # created by ``start``
        text = without_ours(self._output.text()).strip()
        return f"\nIt wrote:\n{text[-QUOTED_CHARACTERS:]}" if text else ""


def _how(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
