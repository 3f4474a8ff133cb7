"""One worker process in the orchestrator, from the request to fork it to the report of its end.

A worker is dead when the kernel reports the end of its pid, not when its socket ends. ``exited`` is reported after the
zygote has ended the process with its tree, and after all its messages were delivered.

The worker's end of the socket also stays open in the orchestrator. So the kernel keeps the bytes that a dead worker has
not read, and their number shows which jobs it never began.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping
from typing import Final

from greenroom.messages.core.failures import Exit
from greenroom.messages.frames.worker import (
    Completed,
    Diverge,
    Environment,
    Evaluate,
    Execute,
    Failed,
    FromWorker,
    Halt,
    Heartbeat,
    Judged,
    Raise,
    Return,
    ToWorker,
    Turn,
    WorkerSpec,
)
from greenroom.messages.secrets.redaction import Redactor
from greenroom.supervision.jobs import WorkerListener
from greenroom.supervision.kernel import linux
from greenroom.supervision.kernel.oom_kills import LEDGER, OomWatch
from greenroom.supervision.policy.exit_status import STOPPING, Evidence, describe
from greenroom.supervision.process.frame_channel import Channel
from greenroom.supervision.process.output_sources import OutputListener
from greenroom.supervision.process.refused_resource import with_remedy
from greenroom.supervision.process.worker_output import WorkerOutput

TERM_GRACE: Final = 0.5
"""Seconds from SIGTERM to SIGKILL, and from the end of a socket to SIGKILL."""
DUMP_GRACE: Final = 0.05
"""Most seconds that a process has to dump its stacks before it is killed."""
DUMP_IDLE: Final = 0.005
"""Seconds without output on stderr after which that dump counts as complete."""
_ANSWERS: Final = frozenset({Completed, Failed, Judged})
_ENDINGS: Final = frozenset({Return, Raise, Halt, Diverge})
_WITH_DUMP: Final = frozenset({"hung", "timeout", "blocked"})


class Worker:
    """A ``WorkerProcess``. Created by a backend. Reactor thread only.

    Attributes:
        id: Number of the launch at its backend.
        spec: Specification of the worker.
        pid: Pid of the process, from ``spawned`` on.
        dead: Set when the process itself is dead, or was never started.
        ended: Set when ``exited`` was reported.
    """

    def __init__(
        self,
        number: int,
        spec: WorkerSpec,
        listener: WorkerListener,
        loop: asyncio.AbstractEventLoop,
        on_output: OutputListener | None,
        *,
        environ: Mapping[str, str],
        redactor: Redactor,
    ) -> None:
        """Create the socket pair and the pipes; ``take_descriptors`` returns the ends for the child.

        ``environ`` holds its environment variables; ``redactor`` removes secrets from its output.
        """
        self.id = number
        self.spec = spec
        self.pid: int | None = None
        self.dead = asyncio.Event()
        self.ended = asyncio.Event()
        self.on_death: Callable[[Worker], None] | None = None
        """Called when the process is dead. Set by the backend, which then waits for the end of the process tree."""
        self._environ = environ
        self._listener = listener
        self._loop = loop
        self._pidfd: int | None = None
        self._reason: Exit | None = None
        self._injected: list[int] = []
        """Signals that were sent as injected faults and may yet end the process."""
        self._spoke = False
        self._asked = False  # from the request to fork it on
        self._being_killed = False  # from the first SIGKILL on
        self._reported = False  # its end is known; the report waits for its last messages
        self._timers: list[asyncio.TimerHandle] = []
        self._oom = OomWatch(LEDGER)
        with contextlib.ExitStack() as undo:  # in case descriptors run out half-way
            ours, self._theirs = socket.socketpair()
            undo.callback(ours.close)
            undo.callback(self._theirs.close)
            self._output = WorkerOutput(spec, loop, on_output, redactor)
            undo.pop_all()
        self._channel = Channel(
            loop,
            ours,
            spec.incarnation,
            on_message=self._received,
            on_fault=self.kill,
            on_end=self._hung_up,
            batched=spec.concurrency > 1,
        )

    def __repr__(self) -> str:
        """Return the state, for logs."""
        state = (
            "ended"
            if self.ended.is_set()
            else "dead"
            if self.dead.is_set()
            else "being killed"
            if self._being_killed
            else "alive"
        )
        return f"<Worker {self.spec.worker} life {self.spec.incarnation} pid {self.pid} {state}>"

    # ---------------------------------------------------------------- for the pool

    @property
    def hearing(self) -> bool:
        """See ``WorkerProcess.hearing``."""
        return self._channel.hearing or self._channel.muted

    def mute(self, muted: bool) -> None:  # noqa: FBT001  a switch
        """Stop reading its messages, or go on; see ``WorkerProcess.mute``."""
        self._channel.mute(muted)

    def send(self, message: ToWorker) -> int:
        """Queue a message. Never blocks; does nothing once the worker is gone.

        Returns:
            How many bytes the worker must have read in total to have received the message.

        Raises:
            CodecError: The message cannot be encoded as JSON, or exceeds the size limit.
        """
        if self.spec.concurrency == 1 and isinstance(message, (Execute, Evaluate)):  # the previous job was answered
            self._output.begin(message)
        return self._channel.send(message)

    def kill(self, reason: Exit, *, signal: int = signal.SIGKILL) -> None:
        """End the process and its tree; the first reason given is reported.

        SIGTERM is followed by SIGKILL after ``TERM_GRACE`` seconds. A process that is ended because it is stuck first
        writes its stacks to stderr. A stopped process cannot do so, and is killed at once.
        """
        if self.dead.is_set():  # by itself, or for an earlier reason
            return
        self._reason = self._reason or reason
        if not self._asked:  # no process was requested yet, and none will be
            self._died()
        elif self._being_killed or self._pidfd is None:  # without a pidfd: ``launched`` does it
            return
        elif signal != _SIGKILL:
            self._send_signal(signal)
            self._later(TERM_GRACE, self.send_sigkill)
        elif reason.kind in _WITH_DUMP and self._can_answer():
            self._ask_for_stack()
        else:
            self.send_sigkill()

    def signal(self, number: int) -> None:
        """Send a signal as an injected fault, without any further action."""
        if not self.ended.is_set():
            if number == signal.SIGCONT:  # it undoes an earlier stop
                self._injected = [sent for sent in self._injected if sent not in STOPPING]
            else:
                self._injected.append(number)
            self._send_signal(number)

    # ---------------------------------------------------------------- for the backend

    @property
    def reason(self) -> Exit | None:
        """Return the reason given to ``kill``; None if there was none."""
        return self._reason

    def send_environment(self, shared: Mapping[str, str]) -> bool:
        """Send how the worker's environment differs from ``shared``; return whether it differs."""
        own = {name: value for name, value in self._environ.items() if shared.get(name) != value}
        removed = tuple(name for name in shared if name not in self._environ)
        if own or removed:
            values = {name: os.fsencode(value).decode("latin-1") for name, value in own.items()}
            secret = not own.keys().isdisjoint(self.spec.limits.env)
            self._channel.send(Environment(variables=values, removed=removed, secret=secret))
        return bool(own or removed)

    def take_descriptors(self) -> list[int]:
        """Return the descriptors for the child: socket, stdout, stderr. ``close_far_ends`` closes them once sent."""
        self._asked = True
        return [self._theirs.fileno(), *self._output.far_ends]

    def close_far_ends(self) -> None:
        """Close the child's ends of the pipes, so that its death ends ours."""
        self._output.close_far_ends()

    def launched(self, pid: int) -> None:
        """Record that the process exists. It cannot have been reaped yet, so the pid still refers to it."""
        self.pid = pid
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:  # only if the zygote died meanwhile
            self.dead.set()
        except OSError as error:  # no descriptor is left to watch it with
            self._reason = self._reason or Exit(
                kind="start_failed", refused=True, detail=f"it cannot be watched: {with_remedy(error)}"
            )
            os.kill(pid, _SIGKILL)
        else:
            self._loop.add_reader(self._pidfd, self._died)
        self._listener.spawned(pid)
        if self._reason is not None:
            self.send_sigkill()

    def send_sigkill(self) -> None:
        """SIGKILL the process; the zygote ends the rest of its tree."""
        self._being_killed = True
        self._send_signal(_SIGKILL)

    def reaped(self, status: int, peak_kib: int, cpu: float) -> None:
        """Record that the process and its tree are gone, and report the end."""
        self._report(
            status=status,
            peak_memory_mb=round(peak_kib / 1024, 1),
            cpu=round(cpu, 3),
            kernel_oom=self._was_killed_by_nobody_here(status) and self._oom.explains(),
        )

    def lost(self, why: str) -> None:
        """Record that process, tree and zygote are gone, so that the exit status is unknown."""
        self._report(status=None, backend_lost=why)

    # ---------------------------------------------------------------- events of the process

    def _was_killed_by_nobody_here(self, status: int) -> bool:
        if self._reason is not None or self._being_killed or _SIGKILL in self._injected:
            return False
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) == _SIGKILL

    def _received(self, message: FromWorker) -> None:
        self._spoke = True
        kind = type(message)
        if kind is Heartbeat:
            self._oom.lives()
        elif kind in _ANSWERS or (kind is Turn and _is_last(message)):
            self._output.catch_up()
        self._listener.received(message)

    def _hung_up(self) -> None:
        """Wait for the end of a worker that has shut down its socket; an immediate kill would hide the cause."""
        self._later(TERM_GRACE, self._kill_mute)

    def _kill_mute(self) -> None:
        if not self.dead.is_set():
            self.kill(Exit(kind="hung", detail="it shut its socket down and lived on"))

    def _died(self) -> None:
        self._close_pidfd()
        self.dead.set()
        if self.on_death is not None:
            self.on_death(self)
        self._listener.died()

    def _report(
        self,
        *,
        status: int | None,
        peak_memory_mb: float | None = None,
        cpu: float | None = None,
        kernel_oom: bool = False,
        backend_lost: str = "",
    ) -> None:
        if self._reported:
            return
        self._reported = True
        self.close_far_ends()
        self.dead.set()
        for timer in self._timers:
            timer.cancel()

        def conclude() -> None:
            self._conclude(status, peak_memory_mb, cpu, kernel_oom=kernel_oom, backend_lost=backend_lost)

        self._channel.drain(conclude)

    def _conclude(
        self,
        status: int | None,
        peak_memory_mb: float | None,
        cpu: float | None,
        *,
        kernel_oom: bool,
        backend_lost: str,
    ) -> None:
        """Report the end, after all its messages were delivered."""
        read = self._channel.delivered - linux.unread_bytes(self._theirs.fileno())
        self._theirs.close()
        self._channel.close()
        stderr = self._output.close()
        self._close_pidfd()
        self.ended.set()
        self._listener.exited(
            describe(
                Evidence(
                    status=status,
                    reason=self._reason,
                    spoke=self._spoke,
                    injected=tuple(self._injected),
                    stderr=stderr,
                    peak_memory_mb=peak_memory_mb,
                    cpu=cpu,
                    memory_limit_mb=self.spec.limits.memory_mb,
                    cpu_limit=self.spec.limits.cpu,
                    kernel_oom=kernel_oom,
                    backend_lost=backend_lost,
                )
            ),
            read,
        )

    # ---------------------------------------------------------------- signals

    def _can_answer(self) -> bool:
        return self.pid is not None and linux.process_state(self.pid) in {"R", "S", "D"}

    def _ask_for_stack(self) -> None:
        """Let faulthandler write the stacks of all threads to stderr; kill when stderr is silent, or soon in any case.

        This works even if C code holds the interpreter's lock, as no bytecode has to run.
        """
        self._being_killed = True
        idle: asyncio.TimerHandle | None = None

        def heard() -> None:
            nonlocal idle
            if idle is not None:
                idle.cancel()
            idle = self._later(DUMP_IDLE, self.send_sigkill)

        self._output.listen_to_stderr(heard)
        self._send_signal(signal.SIGUSR1)
        self._later(DUMP_GRACE, self.send_sigkill)

    def _send_signal(self, number: int) -> None:
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):  # it has just been reaped
                signal.pidfd_send_signal(self._pidfd, number)

    def _later(self, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        timer = self._loop.call_later(seconds, action)
        self._timers.append(timer)
        return timer

    def _close_pidfd(self) -> None:
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None


def _is_last(turn: FromWorker) -> bool:
    """Return whether a program has ended with this turn."""
    return isinstance(turn, Turn) and bool(turn.commands) and type(turn.commands[-1]) in _ENDINGS


_SIGKILL: Final = signal.SIGKILL  # as a method and a parameter are both called ``signal``
