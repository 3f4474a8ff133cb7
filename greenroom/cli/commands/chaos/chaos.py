"""``greenroom chaos run``: real faults while workflows run, and a check of what must hold afterwards."""

import secrets
import shutil
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, cast, get_args

import click

from greenroom.cli.command_group import Imports, Verbs, common, imports, pass_settings
from greenroom.cli.commands.chaos.faults import FaultKind, faults
from greenroom.cli.commands.runs.run import parse_inputs
from greenroom.cli.display import values as show
from greenroom.cli.display.values import emit
from greenroom.cli.exit_codes import RUN_FAILED
from greenroom.cli.inputs import Number
from greenroom.cli.settings import Settings
from greenroom.cli.targets import parse_target
from greenroom.messages.core.errors import DefinitionError, InvalidInput, RunNotFound

if TYPE_CHECKING:
    from greenroom.workflows.home.home import Home

UNLIKE: Final = "; its results differ, so they are not compared"
"""Said of a workflow whose runs have different results without faults."""


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
@imports
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
    imports: Imports,
) -> int:
    """Run workflows again and again while their processes are killed, and check that it has changed nothing.

    Each workflow is first run twice without faults. Then runs of all of them go on, and faults hit the processes that
    work for them: workers are killed (kill) or stopped (hang), and so are the processes that start them (zygote,
    keeper) and the orchestrator itself, which is started again. In the end all runs have to end as they do without
    faults, and the journal is checked. The exit code is 0 if everything holds, 1 if not.

    The workflows are run for real, with all their effects, in a journal of their own. It is deleted if all is well.
    """
    from greenroom.cli.commands.chaos import report as reports
    from greenroom.cli.commands.chaos.fault_injection import inject
    from greenroom.cli.commands.chaos.invariants import Aftermath, invariants
    from greenroom.cli.commands.chaos.orchestrator_process import OrchestratorProcess
    from greenroom.cli.commands.chaos.workload import Target, Workload
    from greenroom.workflows.home.home import Home
    from greenroom.workflows.queries.reader import JournalQueries

    say = partial(show.say, stream=sys.stderr if settings.json else sys.stdout)
    workflows = list(dict.fromkeys(Target(*parse_target(target)) for target in targets))
    arguments = parse_inputs(pairs, document) or {}
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    home = Home(settings.home.path / "chaos" / f"{seed}-{secrets.token_hex(3)}")
    titles = ", ".join(target.title for target in workflows)
    say(f"Chaos with seed {seed}: {titles}, faults for {duration:g} s, home {home.path}")
    with (
        _made(home),
        OrchestratorProcess(home, imports) as orchestrator,
        JournalQueries.open(home, complain=show.note) as reads,
    ):
        workload = Workload(orchestrator, reads, workflows, arguments, at_once)
        rehearsals = {target: workload.rehearse(target, settle) for target in workflows}
        for target, rehearsal in rehearsals.items():
            results = ", always with the same result" if rehearsal.deterministic else UNLIKE
            say(f"without faults {target.title} takes {rehearsal.seconds:.1f} s{results}")
        failing = workload.failing()
        begun = time.monotonic()
        injected = inject(orchestrator, workload, faults(seed, kinds, every), duration, say)
        if not injected:
            msg = f"no fault came within {duration:g} s: give it longer with --duration, or more of them with --every"
            raise click.ClickException(msg)
        say(f"{time.monotonic() - begun:5.1f} s  no more faults; {reports.many(workload.going, 'run')} to end")
        workload.finish(settle)
        seconds = time.monotonic() - begun
        orchestrator.close()
        aftermath = Aftermath(reads, workload.accepted, rehearsals, failing, tuple(orchestrator.leftovers()))
        checked = list(invariants(aftermath))
        attempts = reports.attempts_by_outcome(reads)
    holds = not any(invariant.broken for invariant in checked)
    kept = keep or not holds
    if not kept:
        shutil.rmtree(home.path)
    report = reports.Report(
        seed=seed,
        seconds=seconds,
        runs=len(workload.accepted),
        faults=dict(injected),
        attempts=attempts,
        invariants=checked,
        home=str(home.path) if kept else None,
    )
    if settings.json:
        emit(report)
    else:
        reports.show(report, say)
    return 0 if holds else RUN_FAILED


@contextmanager
def _made(home: "Home") -> Generator[None]:
    """Create a home. Delete it if the workload is refused, because nothing has happened in it then."""
    home.create()
    try:
        yield
    except (InvalidInput, DefinitionError, RunNotFound):
        shutil.rmtree(home.path)
        raise
