"""The measured figures. Each function returns one round of one figure; ``run.py`` repeats it."""

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import loads
import psutil
import sessions
from floors import interpreter, uss_mb
from rounds import Figure, at_once, orchestrator_in
from work import CALL, chain, conversation, talkative

from greenroom import Orchestrator
from greenroom.messages.events.events import StepScheduled

ROOT = Path(__file__).resolve().parent.parent
FIRST = ROOT / "benchmarks" / "first.py"
CHAIN = 200
RUNS, STEPS = 200, 10
TALKS, CALLS = 100, 5
KILLS = 10
LINES = 100_000
SPEAKER = f"""
sys.stdout.reconfigure(line_buffering=True)  # as in a worker
from work import spoken
print(spoken({LINES}), file=sys.stderr)
"""
"""The rest of a script that prints as the tool does, and writes its CPU time to stderr."""


def warm(orchestrator: Orchestrator) -> None:
    """Load the app, and run one job in every tool worker."""
    at_once(lambda number: orchestrator.start(chain, 5, id=f"warm-{number}").result(60), 8)


# ---------------------------------------------------------------- one run


def step_ms(directory: Path, durability: Literal["full", "process"]) -> float:
    """Return the median time in milliseconds from one step of a run to the next, by the journal's clock."""
    with orchestrator_in(directory, durability=durability) as orchestrator:
        warm(orchestrator)
        run = orchestrator.start(chain, CHAIN)
        run.result(120)
        asked = [stored.at for stored in run.events() if isinstance(stored.event, StepScheduled)]
    return statistics.median(later - earlier for earlier, later in itertools.pairwise(asked)) * 1000


# ---------------------------------------------------------------- many runs


def steps_per_second(directory: Path) -> float:
    """Return the steps per second of 200 workflows of 10 steps at once, from the first start to the last result."""
    with orchestrator_in(directory) as orchestrator:
        warm(orchestrator)
        started = time.perf_counter()
        at_once(lambda number: orchestrator.start(chain, STEPS, id=f"run-{number}"), RUNS)
        for number in range(RUNS):
            orchestrator.get(f"run-{number}").result(120)
        return RUNS * STEPS / (time.perf_counter() - started)


def steps_per_second_in_a_loop(directory: Path) -> float:
    """Return the same for runs that are started in a plain loop, one after another."""
    with orchestrator_in(directory) as orchestrator:
        warm(orchestrator)
        started = time.perf_counter()
        run_in_a_loop(orchestrator)
        return RUNS * STEPS / (time.perf_counter() - started)


def step_cpu_ms(directory: Path) -> float:
    """Return the CPU time in milliseconds that a step of those runs costs in all processes together."""
    with orchestrator_in(directory) as orchestrator:
        warm(orchestrator)
        before = cpu_time()
        run_in_a_loop(orchestrator)
        return (cpu_time() - before) * 1000 / (RUNS * STEPS)


def run_in_a_loop(orchestrator: Orchestrator) -> None:
    """Start all runs, then wait for all results."""
    runs = [orchestrator.start(chain, STEPS, id=f"run-{number}") for number in range(RUNS)]
    for run in runs:
        run.result(120)


def cpu_time() -> float:
    """Return the CPU time in seconds of this process and those below it."""
    here = psutil.Process()
    times = [process.cpu_times() for process in (here, *here.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def model_efficiency(directory: Path) -> float:
    """Run 100 workflows of 5 model calls at once. Return the ideal time of one workflow divided by the time of all."""
    with orchestrator_in(directory) as orchestrator:
        at_once(lambda number: orchestrator.start(conversation, 1, id=f"warm-{number}").result(60), TALKS)
        started = time.perf_counter()
        at_once(lambda number: orchestrator.start(conversation, CALLS, id=f"run-{number}"), TALKS)
        for number in range(TALKS):
            orchestrator.get(f"run-{number}").result(120)
        return CALLS * CALL / (time.perf_counter() - started)


# ---------------------------------------------------------------- output


def print_ratio(directory: Path) -> float:
    """Return the CPU time of a tool that prints 100,000 lines, divided by that of a script that prints to a pipe."""
    with orchestrator_in(directory) as orchestrator:
        warm(orchestrator)
        spent = orchestrator.start(talkative, LINES).result(120)
    program = f"import sys; sys.path[:0] = [{str(ROOT / 'benchmarks')!r}, {str(ROOT)!r}]\n{SPEAKER}"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while process.stdout.read(1 << 16):
            pass
        return float(spent / float(process.stderr.read()))


def print_mb(directory: Path) -> float:
    """Return the growth of the orchestrator's resident size in MiB, from the second to the sixth such tool."""
    with orchestrator_in(directory, output=False) as orchestrator:
        orchestrator.start(talkative, LINES).result(120)
        before = psutil.Process().memory_info().rss
        for _ in range(5):
            orchestrator.start(talkative, LINES).result(120)
        return (psutil.Process().memory_info().rss - before) / 2**20


# ---------------------------------------------------------------- processes


def replacement_ms(directory: Path) -> float:
    """Kill an idle tool worker with SIGKILL. Return the milliseconds until its next process accepts work."""
    spent: list[float] = []
    with orchestrator_in(directory) as orchestrator:
        warm(orchestrator)
        for _ in range(KILLS):
            victim = next(
                worker for worker in orchestrator.workers() if worker.kind == "tool" and worker.status == "idle"
            )
            started = time.perf_counter()
            orchestrator.kill(victim.id)
            while not any(
                worker.id == victim.id and worker.incarnation > victim.incarnation and worker.status == "idle"
                for worker in orchestrator.workers()
            ):
                pass  # each query takes time of the reactor, which the figure includes
            spent.append(time.perf_counter() - started)
    return statistics.median(spent) * 1000


def idle_worker_mb(directory: Path) -> float:
    """Return the private memory in MiB of idle tool workers that have run a job."""
    with orchestrator_in(directory) as orchestrator:
        warm(orchestrator)
        pids = [worker.pid for worker in orchestrator.workers() if worker.kind == "tool" and worker.pid is not None]
        return statistics.median(uss_mb(pid) for pid in pids)


def restart_s(directory: Path) -> float:
    """SIGKILL a process with 100 runs and start it again. Return the seconds until all runs continue."""
    journal = str(directory / "journal.db")
    with _host(journal, "start") as host:
        _ready(host)
        host.kill()
        host.wait()
    started = time.time()
    with _host(journal, "recover") as host:
        return _ready(host) - started


@contextmanager
def _host(journal: str, order: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, str(ROOT / "benchmarks" / "host.py"), journal, order]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.communicate()  # the end of its input ends it, unless it is dead already


def _ready(host: "subprocess.Popen[str]") -> float:
    assert host.stdout is not None
    word, _, moment = host.stdout.readline().partition(" ")
    if word != "ready":
        msg = f"the host of the runs ended with code {host.wait()}"
        raise RuntimeError(msg)
    return float(moment)


# ---------------------------------------------------------------- starting


def script_s(directory: Path) -> float:
    """Return the seconds from the start of a script with one tool and one workflow to its first result."""
    started = time.time()
    _, moment = _output([str(FIRST), str(directory / "journal.db")], directory).split()
    return float(moment) - started


def command_s(directory: Path) -> float:
    """Return the seconds that ``greenroom run`` takes for a workflow that adds two numbers."""
    started = time.perf_counter()
    _output([str(ROOT / "main.py"), "run", f"{FIRST}:flow", "-i", "a=1", "-i", "b=2"], directory)
    return time.perf_counter() - started


def _output(command: list[str], directory: Path) -> str:
    """Run a Python program whose first word is the sum of 1 and 2; return what it prints."""
    done = subprocess.run([sys.executable, *command], cwd=directory, capture_output=True, text=True, check=True)
    if done.stdout.split()[:1] != ["3"]:
        msg = f"{command[0]} printed {done.stdout!r}"
        raise RuntimeError(msg)
    return done.stdout


def import_ms(_directory: Path) -> float:
    """Return the CPU time of ``import greenroom`` in milliseconds, beyond that of a bare interpreter."""
    path = f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
    return interpreter(path + "import greenroom")[0] - interpreter(path)[0]


def help_ms(_directory: Path) -> float:
    """Return the CPU time of ``greenroom --help`` in milliseconds, including the interpreter."""
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from greenroom.__main__ import main; main(['--help'])"
    return interpreter(program)[0]


FIGURES: dict[str, Figure] = {
    "step-process": Figure(
        'one run of 200 tool steps, durability "process": per step, p50',
        "ms",
        lambda _: 1.0,
        "less",
        lambda floors: 2 * floors.round_trip_ms,
        "2 round trips",
        lambda directory: step_ms(directory, "process"),
    ),
    "step-full": Figure(
        'one run of 200 tool steps, durability "full": per step, p50',
        "ms",
        lambda floors: floors.commit_ms + 1.0,
        "less",
        lambda floors: floors.commit_ms + 2 * floors.round_trip_ms,
        "1 commit + 2 round trips",
        lambda directory: step_ms(directory, "full"),
    ),
    "throughput": Figure(
        '200 runs of 10 tool steps at once, "full"',
        "steps/s",
        lambda _: 1500.0,
        "more",
        lambda floors: 1000 / (2 * floors.round_trip_ms),
        "2 round trips per step",
        steps_per_second,
    ),
    "loop": Figure(
        '200 runs of 10 tool steps, "full", started in a plain loop',
        "steps/s",
        lambda _: 1000.0,
        "more",
        lambda floors: 1000 / (2 * floors.round_trip_ms),
        "2 round trips per step",
        steps_per_second_in_a_loop,
    ),
    "cpu": Figure(
        "CPU time of all processes for a step of such runs",
        "ms",
        lambda _: 1.3,
        "less",
        lambda floors: 4 * floors.round_trip_ms,
        "2 round trips, both ends",
        step_cpu_ms,
    ),
    "models": Figure(
        "100 runs of 5 model calls of 50 ms at once: ideal time by real time",
        "",
        lambda _: 0.6,
        "more",
        lambda _: 1.0,
        "the calls alone",
        model_efficiency,
    ),
    "print": Figure(
        "CPU time of a tool that prints 100,000 lines, by that of a script",
        "",
        lambda _: 1.1,
        "less",
        lambda _: 1.0,
        "the script, into a pipe that is read",
        print_ratio,
    ),
    "print-memory": Figure(
        "growth of the orchestrator over five tools that print 100,000 lines each",
        "MiB",
        lambda _: 8.0,
        "less",
        lambda floors: floors.fork_uss_mb,
        "a bare fork of this script",
        print_mb,
    ),
    "replacement": Figure(
        "SIGKILL of a tool worker to its replacement ready, p50",
        "ms",
        lambda _: 30.0,
        "less",
        lambda floors: floors.fork_ms,
        "fork and exit",
        replacement_ms,
    ),
    "memory": Figure(
        "private memory of an idle tool worker",
        "MiB",
        lambda _: 8.0,
        "less",
        lambda floors: floors.fork_uss_mb,
        "a bare fork of this script",
        idle_worker_mb,
    ),
    "restart": Figure(
        "kill -9 of the orchestrator: its start to 100 runs going on",
        "s",
        lambda _: 1.0,
        "less",
        lambda floors: floors.interpreter_wall_ms / 1000,
        "start of an interpreter",
        restart_s,
    ),
    "script": Figure(
        "a script of one tool and one workflow: its start to its first result",
        "s",
        lambda _: 0.8,
        "less",
        lambda floors: floors.interpreter_wall_ms / 1000,
        "start of an interpreter",
        script_s,
    ),
    "command": Figure(
        "greenroom run of such a workflow, the whole command",
        "s",
        lambda _: 0.8,
        "less",
        lambda floors: floors.interpreter_wall_ms / 1000,
        "start of an interpreter",
        command_s,
    ),
    "import": Figure(
        "import greenroom, CPU time beyond the interpreter's",
        "ms",
        lambda _: 50.0,
        "less",
        lambda floors: floors.interpreter_ms,
        "start of an interpreter",
        import_ms,
    ),
    "help": Figure(
        "greenroom --help, CPU time",
        "ms",
        lambda _: 200.0,
        "less",
        lambda floors: floors.interpreter_ms,
        "start of an interpreter",
        help_ms,
    ),
    **loads.FIGURES,
    **sessions.FIGURES,
}
