"""Workers in new interpreters, for apps that cannot be forked.

A zygote without the app forks a child, which applies its limits as every worker does. The child then executes a new
interpreter, which imports the app. The settings for parent death, orphans, session and limits survive that. So do
ignored signals, which is why SIGINT is ignored until the new interpreter has a handler for it.
"""

import json
import os
import signal
import sys
from typing import Final, NoReturn

from greenroom.messages.core.message import Message
from greenroom.messages.core.source_mark import source_mark
from greenroom.messages.frames.worker import WorkerSpec
from greenroom.supervision.kernel import exec_command, linux
from greenroom.supervision.policy.exit_status import signal_name
from greenroom.supervision.process.child_setup import flush_and_exit, reset_signals, run_worker, take_environment
from greenroom.supervision.zygote.app_loader import Import, load_app, resolve
from greenroom.supervision.zygote.messages import MAX_TEXT, OUTDATED, SENT_BY_OTHERS, Boot, is_outdated

PIPE_BYTES: Final = 64 * 1024
"""Capacity of a pipe in bytes, more than the longest text that is written to one here."""


class Fresh(Message):
    """The argument of an executed interpreter on its command line."""

    boot: Boot
    spec: WorkerSpec | None = None
    """None for the probe, which only loads the app."""
    descriptor: int
    """The worker's socket, or the pipe to which the probe writes why it failed."""
    own_environment: bool = False
    """See ``Launch``."""
    stack: int = -1
    """Descriptor to which the probe writes the stack of its import; -1 for none."""


def execute(task: Fresh) -> NoReturn:
    """Execute a new interpreter that carries out ``task``. Called in the child of a fork."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(task.descriptor, True)  # noqa: FBT003  the standard library's own flag
    line = exec_command.command("exec_worker", sys.argv[1], [task.model_dump_json()], sys.path)
    os.execv(line[0], line)  # noqa: S606  our own interpreter


def probe(boot: Boot, stack: int) -> tuple[Import, int]:
    """Load the app once in a new interpreter. Return how that ended, and its ``data_kib``."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.set_inheritable(stack, True)  # noqa: FBT003  the standard library's own flag
            execute(Fresh(boot=boot, descriptor=writing, stack=stack))
        finally:
            os._exit(1)
    os.close(writing)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])  # a process of the import may hold the pipe open
    os.set_blocking(reading, False)
    try:
        size, variables, failure = os.read(reading, PIPE_BYTES).decode(errors="replace").split("\n", 2)
    except (BlockingIOError, ValueError):  # it has written nothing
        size = variables = failure = ""
    finally:
        os.close(reading)
    if code and not failure:
        how = f"was killed by {signal_name(-code)}" if code < 0 else f"exited with code {code}"
        failure = f"{boot.app} cannot be loaded: the process that imported it {how}"
        return Import(failure, killed=-code in SENT_BY_OTHERS), 0
    names = {kind: tuple(each) for kind, each in json.loads(variables or "{}").items()}
    return Import(failure, names), int(size or 0)


def main() -> NoReturn:
    """Load the app and run as a worker. This is the whole program of an executed interpreter."""
    linux.catch_and_ignore(signal.SIGINT)
    if is_outdated(json.loads(sys.argv[2])["boot"], source_mark()):
        sys.stderr.write(OUTDATED + "\n")
        flush_and_exit(1)
    task = Fresh.model_validate_json(sys.argv[2])
    if task.own_environment:
        take_environment(task.descriptor)
    if task.stack >= 0:
        os.set_inheritable(task.stack, False)  # noqa: FBT003  the same
    done = load_app(task.boot, task.stack)
    if task.spec is not None:
        if not done.failure:
            reset_signals()
            run_worker(task.descriptor, task.spec, resolve(task.boot.main))
        sys.stderr.write(done.failure + "\n")
        flush_and_exit(1)
    told = f"{linux.data_kib()}\n{json.dumps(done.variables)}\n{done.failure[-MAX_TEXT:]}"
    os.write(task.descriptor, told.encode(errors="replace"))
    flush_and_exit(0)
