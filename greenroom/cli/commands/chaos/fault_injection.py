"""Injects faults: hits one of the processes that a fault may hit, while the workload goes on."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, assert_never

import psutil

from greenroom.cli.commands.chaos.faults import Fault
from greenroom.cli.commands.chaos.orchestrator_process import POLL, OrchestratorProcess
from greenroom.cli.commands.chaos.workload import Workload
from greenroom.messages.commands import KillWorker, ListWorkers, Workers
from greenroom.messages.core.errors import WorkerNotFound
from greenroom.supervision.zygote import fork_server, keeper

if TYPE_CHECKING:
    from greenroom.messages.records.records import WorkerRecord

NAMES: Final = {"zygote": fork_server.NAME, "keeper": keeper.NAME}
"""Names of the processes that start workers."""


def inject(
    orchestrator: OrchestratorProcess,
    workload: Workload,
    plan: Iterator[Fault],
    duration: float,
    say: Callable[[str], None],
) -> Counter[str]:
    """Keep the workload going, and inject faults meanwhile.

    Args:
        orchestrator: Whose processes are hit.
        workload: What has to go on.
        plan: The faults, in order.
        duration: Seconds until the last fault.
        say: Called with a line about each fault.

    Returns:
        The number of faults by kind.
    """
    injected: Counter[str] = Counter()
    begun = time.monotonic()
    end = begun + duration
    for fault in plan:
        due = time.monotonic() + fault.pause
        what = ""
        while not what:  # it may be that nothing is there yet that it could hit
            while time.monotonic() < min(due, end):
                workload.keep_going()
                time.sleep(POLL)
            if time.monotonic() >= end:
                return injected
            due = time.monotonic() + POLL
            what = strike(orchestrator, fault)
        injected[fault.kind] += 1
        say(f"{time.monotonic() - begun:5.1f} s  {what}")
    return injected


def strike(orchestrator: OrchestratorProcess, fault: Fault) -> str:
    """Inject a fault. Return what was hit in a few words, or nothing if there was nothing to hit."""
    match fault.kind:
        case "kill":
            return _hit_worker(orchestrator, fault, signal.SIGKILL)
        case "hang":
            return _hit_worker(orchestrator, fault, signal.SIGSTOP)
        case "zygote" | "keeper":
            return _kill_backend(orchestrator, fault)
        case "orchestrator":
            pid = orchestrator.pid
            orchestrator.crash()
            return f"kill -9 {pid}: the orchestrator, which goes on with pid {orchestrator.pid}"
        case _:
            assert_never(fault.kind)


def _hit_worker(orchestrator: OrchestratorProcess, fault: Fault, number: signal.Signals) -> str:
    """Send a signal to a worker, to a busy one if there is any."""
    reply = orchestrator.ask(ListWorkers())
    assert isinstance(reply, Workers)
    workers = [worker for worker in reply.workers if worker.pid is not None]
    busy = [worker for worker in workers if worker.status == "busy"] or workers
    if not busy:
        return ""
    worker = busy[int(fault.choice * len(busy))]
    try:
        orchestrator.ask(KillWorker(worker=worker.id, signal=number))
    except WorkerNotFound:  # it has ended meanwhile
        return ""
    what = "kill -9" if number == signal.SIGKILL else "kill -STOP"
    return f"{what} {worker.pid}: {_described(worker)}"


def _described(worker: "WorkerRecord") -> str:
    if worker.run_id is None:
        return worker.id
    return f"{worker.id}, busy with {worker.run_id}" + (f" {worker.step}" if worker.step else "")


def _kill_backend(orchestrator: OrchestratorProcess, fault: Fault) -> str:
    name = NAMES[fault.kind]
    found: list[psutil.Process] = []
    for process in orchestrator.below():
        try:
            if process.name() == name:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    if not found:
        return ""
    process = found[int(fault.choice * len(found))]
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return ""
    return f"kill -9 {process.pid}: a {fault.kind}, and with it every worker that it has started"
