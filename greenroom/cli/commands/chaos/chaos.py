"""``greenroom chaos run``: real faults while workflows run, and then what has to hold."""

import secrets
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, cast, get_args

import click

from greenroom.cli.command_group import Verbs, common, pass_settings
from greenroom.cli.commands.chaos.faults import Fault, FaultKind, faults
from greenroom.cli.commands.runs.run import parse_inputs, parse_target
from greenroom.cli.display import values as show
from greenroom.cli.display.values import emit
from greenroom.cli.exit_codes import RUN_FAILED
from greenroom.cli.inputs import Number
from greenroom.cli.settings import Settings
from greenroom.messages.core.errors import DefinitionError, InvalidInput, RunNotFound

if TYPE_CHECKING:
    from greenroom.cli.commands.chaos.invariants import Invariant
    from greenroom.cli.commands.chaos.orchestrator_process import OrchestratorProcess
    from greenroom.cli.commands.chaos.workload import Target, Workload
    from greenroom.workflows.home.home import Home
    from greenroom.workflows.queries.reader import JournalQueries

NAMED: Final = 5
"""Most contradictions of an invariant that are printed; JSON has all."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a chaos run has done, and what held."""

    seed: int
    seconds: float
    """From the first fault to the end of the last run."""
    runs: int
    faults: dict[str, int]
    """Number of faults by kind."""
    attempts: dict[str, int]
    """Number of attempts by outcome."""
    invariants: "list[Invariant]"
    home: str | None
    """Where the journal and the logs are; None if they were deleted."""

    @property
    def holds(self) -> bool:
        """Whether every invariant holds."""
        return not any(invariant.broken for invariant in self.invariants)


@click.group(cls=Verbs)
@common
def chaos() -> None:
    """Inject faults into the processes that run a workload, and check what has to hold."""


def _kinds(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[FaultKind, ...]:
    """Read a list of kinds of faults."""
    known = get_args(FaultKind)
    kinds = [word.strip() for word in text.split(",")]
    for kind in kinds:
        if kind not in known:
            msg = f"there is no fault {kind!r}; there are: {', '.join(known)}"
            raise click.BadParameter(msg)
    return cast("tuple[FaultKind, ...]", tuple(kinds))


@chaos.command("run")
@click.argument("targets", metavar="FILE.py:NAME...", nargs=-1, required=True)
@click.option("-i", "pairs", metavar="KEY=VALUE", multiple=True, help="One input of each run. May be repeated.")
@click.option("--input", "document", metavar="JSON|@FILE|-", help="All inputs as a JSON object.")
@click.option("--seed", type=int, metavar="N", help="Repeats the faults of an earlier run. Default: a new one.")
@click.option(
    "--duration",
    type=Number(min=0, min_open=True),
    metavar="S",
    default=10.0,
    show_default=True,
    help="Seconds of faults.",
)
@click.option(
    "--every",
    type=Number(min=0.01),
    metavar="S",
    default=0.4,
    show_default=True,
    help="Mean number of seconds between two faults.",
)
@click.option(
    "--faults",
    "kinds",
    metavar="KIND,...",
    callback=_kinds,
    default=",".join(get_args(FaultKind)),
    show_default=True,
    help="What is injected.",
)
@click.option(
    "--at-once",
    type=click.IntRange(min=1, max=1000),
    metavar="N",
    default=8,
    show_default=True,
    help="Runs that go on at the same time.",
)
@click.option(
    "--settle",
    type=Number(min=0, min_open=True),
    metavar="S",
    default=60.0,
    show_default=True,
    help="Seconds in which runs have to end, before the first fault and after the last one.",
)
@click.option("--keep", is_flag=True, help="Keep the journal and the logs even if all is well.")
@common
@pass_settings
def run(  # noqa: PLR0913, PLR0917  the verb's options
    settings: Settings,
    targets: tuple[str, ...],
    pairs: tuple[str, ...],
    document: str | None,
    seed: int | None,
    duration: float,
    every: float,
    kinds: tuple[FaultKind, ...],
    at_once: int,
    settle: float,
    keep: bool,  # noqa: FBT001  click hands flags over by name
) -> int:
    """Run workflows again and again while their processes are killed, and check that it has changed nothing.

    Each workflow is first run twice without faults. Then runs of all of them go on, and faults hit the processes that
    work for them: workers are killed (kill) or stopped (hang), and so are the processes that start them (zygote,
    keeper) and the orchestrator itself, which is started again. In the end all runs have to end as they do without
    faults, and the journal is checked. The exit code is 0 if everything holds, 1 if not.

    The workflows are run for real, with all their effects, in a journal of their own. It is deleted if all is well.
    """
    from greenroom.cli.commands.chaos.invariants import Left, invariants
    from greenroom.cli.commands.chaos.orchestrator_process import OrchestratorProcess
    from greenroom.cli.commands.chaos.workload import Target, Workload
    from greenroom.workflows.home.home import Home
    from greenroom.workflows.queries.reader import JournalQueries

    say = partial(show.say, stream=sys.stderr if settings.json else sys.stdout)
    workflows = list(dict.fromkeys(Target(*parse_target(target)) for target in targets))
    arguments = parse_inputs(pairs, document) or {}
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    home = Home(settings.home.path / "chaos" / f"{seed}-{secrets.token_hex(3)}")
    say(f"Chaos with seed {seed}: {_listed(workflows)}, faults for {duration:g} s, home {home.path}")
    with (
        _made(home),
        OrchestratorProcess(home) as orchestrator,
        JournalQueries.open(home, complain=show.note) as reads,
    ):
        workload = Workload(orchestrator, reads, workflows, arguments, at_once)
        rehearsed = {target: workload.rehearse(target, settle) for target in workflows}
        for target, known in rehearsed.items():
            say(f"without faults {target.title} takes {known.seconds:.1f} s" + _fixed(known.fixed))
        begun = time.monotonic()
        hit = _inject(orchestrator, workload, faults(seed, kinds, every), duration, say)
        if not hit:
            msg = f"no fault came within {duration:g} s: give it longer with --duration, or more of them with --every"
            raise click.ClickException(msg)
        say(f"{time.monotonic() - begun:5.1f} s  no more faults; {_many(workload.going, 'run')} to end")
        workload.finish(settle)
        seconds = time.monotonic() - begun
        orchestrator.close()
        left = Left(reads, workload.accepted, rehearsed, tuple(orchestrator.leftovers()))
        held = list(invariants(left))
        outcomes = _outcomes(reads)
    good = not any(invariant.broken for invariant in held)
    if good and not keep:
        shutil.rmtree(home.path)
    report = Report(
        seed=seed,
        seconds=seconds,
        runs=len(workload.accepted),
        faults=dict(hit),
        attempts=outcomes,
        invariants=held,
        home=None if good and not keep else str(home.path),
    )
    if settings.json:
        emit(report)
    else:
        _tell(report, say)
    return 0 if report.holds else RUN_FAILED


@contextmanager
def _made(home: "Home") -> Generator[None]:
    """Make a home, and delete it if what is asked for is no workload: then there is nothing in it."""
    home.create()
    try:
        yield
    except (InvalidInput, DefinitionError, RunNotFound):
        shutil.rmtree(home.path)
        raise


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _listed(workflows: "list[Target]") -> str:
    return ", ".join(target.title for target in workflows)


def _fixed(fixed: bool) -> str:  # noqa: FBT001  a property of a rehearsal
    return ", always with the same result" if fixed else "; its results differ, so they are not compared"


def _inject(
    orchestrator: "OrchestratorProcess",
    workload: "Workload",
    plan: Iterator[Fault],
    duration: float,
    say: Callable[[str], None],
) -> Counter[str]:
    """Keep the workload going and inject faults, for a number of seconds. Return the number of faults by kind."""
    from greenroom.cli.commands.chaos.nemesis import strike
    from greenroom.cli.commands.chaos.orchestrator_process import POLL

    hit: Counter[str] = Counter()
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
                return hit
            due = time.monotonic() + POLL
            what = strike(orchestrator, fault)
        hit[fault.kind] += 1
        say(f"{time.monotonic() - begun:5.1f} s  {what}")
    return hit


def _outcomes(reads: "JournalQueries") -> dict[str, int]:
    """Return the number of attempts by outcome."""
    attempts = (
        attempt
        for row in reads.journal.runs(kind="run", limit=None)
        for step in reads.steps(row.id)
        for attempt in step.attempts
    )
    return dict(Counter(attempt.outcome or "none" for attempt in attempts).most_common())


def _tell(report: Report, say: Callable[[str], None]) -> None:
    counts = ", ".join(f"{count} {kind}" for kind, count in report.faults.items())
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in report.attempts.items()) or "none"
    say(f"{_many(report.runs, 'run')} in {report.seconds:.1f} s")
    say(f"{_many(sum(report.faults.values()), 'fault')}: {counts}")
    say(f"{_many(sum(report.attempts.values()), 'attempt')}: {outcomes}")
    for invariant in report.invariants:
        say(f"{'✖' if invariant.broken else '✔'} {invariant.sentence}")
        for what in invariant.broken[:NAMED]:
            say(f"    {what}")
        if len(invariant.broken) > NAMED:
            say(f"    and {len(invariant.broken) - NAMED} more")
    if report.home is not None:
        say(f"the journal and the logs are in {report.home}")
