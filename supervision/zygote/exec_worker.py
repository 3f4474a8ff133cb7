"""Workers in interpreters of their own, for apps that cannot be forked: what stands between the fork and the actor.

The bare zygote forks, the child binds itself to its limits as every worker does, and then executes a new interpreter,
which loads the app by itself. Parent death, adoption of orphans, session and limits survive that, and so do ignored
signals, which is why SIGINT is ignored until the new interpreter has a handler for it.
"""

import os
import signal
import sys
from typing import Final, NoReturn

from greenroom.messages.core.message import Message
from greenroom.messages.frames.worker import WorkerSpec
from greenroom.supervision.kernel import exec_command, linux
from greenroom.supervision.policy.exit_status import signal_name
from greenroom.supervision.process.child_setup import flush_and_exit, reset_signals, run_worker, take_environment
from greenroom.supervision.zygote.app_loader import load_app, resolve
from greenroom.supervision.zygote.messages import MAX_TEXT, Boot

PIPE_BYTES: Final = 64 * 1024
"""What a pipe holds while nobody reads: more than the longest text that is written to one here."""


class Fresh(Message):
    """What an executed interpreter is told on its command line."""

    boot: Boot
    spec: WorkerSpec | None = None
    """None for the probe, which only loads the app."""
    descriptor: int
    """The worker's socket, or where the probe writes why it failed."""
    furnished: bool = False
    """See ``Launch``."""
    stack: int = -1
    """Where the probe says where its import stands."""


def execute(task: Fresh) -> NoReturn:
    """Become a fresh interpreter that carries out ``task``. Called in the child of a fork."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(task.descriptor, True)  # noqa: FBT003  the standard library's own flag
    line = exec_command.command("exec_worker", sys.argv[1], [task.model_dump_json()], sys.path)
    os.execv(line[0], line)  # noqa: S606  our own interpreter


def probe(boot: Boot, stack: int) -> tuple[str, int]:
    """Load the app once in an interpreter of its own; give why it failed, or nothing, and ``data_kib`` of it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.set_inheritable(stack, True)  # noqa: FBT003  the standard library's own flag
            execute(Fresh(boot=boot, descriptor=writing, stack=stack))
        finally:
            os._exit(1)
    os.close(writing)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])  # not the pipe's end: what the import started may hold it
    os.set_blocking(reading, False)
    try:
        size, _, failure = os.read(reading, PIPE_BYTES).decode(errors="replace").partition("\n")
    except BlockingIOError:
        size = failure = ""
    finally:
        os.close(reading)
    if code and not failure:
        how = f"was killed by {signal_name(-code)}" if code < 0 else f"exited with code {code}"
        failure = f"{boot.app} cannot be loaded: the process that imported it {how}"
    return failure, int(size or 0)


def main() -> NoReturn:
    """Load the app and live as a worker; the whole program of an executed interpreter."""
    linux.shrug_off(signal.SIGINT)
    task = Fresh.model_validate_json(sys.argv[2])
    if task.furnished:
        take_environment(task.descriptor)
    if task.stack >= 0:
        os.set_inheritable(task.stack, False)  # noqa: FBT003  the same
    failure = load_app(task.boot, task.stack)
    if task.spec is not None:
        if not failure:
            reset_signals()
            run_worker(task.descriptor, task.spec, resolve(task.boot.main))
        sys.stderr.write(failure + "\n")
        flush_and_exit(1)
    os.write(task.descriptor, f"{linux.data_kib()}\n{failure[-MAX_TEXT:]}".encode(errors="replace"))
    flush_and_exit(0)
