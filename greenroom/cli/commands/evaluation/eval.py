"""``greenroom eval``: cases through a workflow several times, or past runs scored again."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from greenroom.cli.command_group import Imports, common, imports, pass_settings, quiet
from greenroom.cli.commands.evaluation.cases import Case, read_cases, refuse
from greenroom.cli.display.values import emit, look, note, say
from greenroom.cli.exit_codes import INTERRUPTED, RUN_FAILED
from greenroom.cli.inputs import Number, read_file
from greenroom.cli.settings import Settings
from greenroom.cli.targets import find_app, parse_target

if TYPE_CHECKING:
    from greenroom.cli.commands.evaluation.hosts import Host
    from greenroom.cli.commands.evaluation.trials import Plan, Subject
    from greenroom.metrics.evals.report import Report, Trial

ALL = "all"


@click.command("eval")
@click.argument("target", metavar="FILE.py:WORKFLOW")
@click.option("--cases", "cases_file", metavar="FILE", help="JSON lines: inputs, and perhaps id, expected, metadata.")
@click.option("--runs", "past", metavar="ID", multiple=True, help="A past run to score; may be repeated; or 'all'.")
@click.option("--sample", type=Number(0, 1), metavar="SHARE", help="Score only this share of the past runs.")
@click.option("--repeat", type=click.IntRange(1, 1000), default=1, metavar="N", help="Runs of each case. Default: 1.")
@click.option(
    "--judge",
    "judges",
    metavar="[FILE.py:]NAME",
    multiple=True,
    help="An evaluator, judge, rule or panel at the top level of a file; may be repeated. Default: the result has to "
    "equal what the case expects, and without that the run has to complete.",
)
@click.option("--threshold", type=Number(0, 1), metavar="RATE", help="Lowest pass rate for the exit code 0.")
@click.option("--compare", "earlier_file", metavar="FILE", help="An earlier report of --json, to compare with.")
@click.option("--json", "json_file", metavar="FILE", help="Write the report as JSON.")
@click.option("--csv", "csv_file", metavar="FILE", help="Write the trials as CSV.")
@click.option(
    "-j", "concurrency", type=click.IntRange(1, 256), default=4, metavar="N", help="Trials at a time. Default: 4."
)
@click.option(
    "--id", "evaluation_id", metavar="ID", help="Id of the evaluation. An interrupted one with this id continues."
)
@click.option(
    "--timeout",
    type=Number(min=0, min_open=True),
    default=600.0,
    metavar="S",
    help="Seconds that a run may take. Default: 600.",
)
@quiet
@imports
@common
@pass_settings
def evaluate(  # noqa: PLR0913, PLR0917  the verb's options
    settings: Settings,
    target: str,
    cases_file: str | None,
    past: tuple[str, ...],
    sample: float | None,
    repeat: int,
    judges: tuple[str, ...],
    threshold: float | None,
    earlier_file: str | None,
    json_file: str | None,
    csv_file: str | None,
    concurrency: int,
    evaluation_id: str | None,
    timeout: float,
    quiet: bool,  # noqa: FBT001  click hands flags over by name
    imports: Imports,
) -> int:
    """Run a workflow on cases, have evaluators rate the results, and report the pass rate.

    A trial is left out of the rates, and reported apart, if its run failed because of a crash, a timeout or the model's
    provider, or if an evaluator failed.

    Everything is checked before the first run starts. The exit code is 0, or 1 if no trial could be scored or the pass
    rate is below --threshold, or 2 if nothing was started.
    """
    from greenroom.cli.commands.evaluation.trials import Plan
    from greenroom.messages.ids import run_id as make_id

    if (cases_file is None) == (not past):
        msg = "give what to evaluate: either --cases FILE or --runs ID"
        raise click.UsageError(msg)
    if cases_file is not None and sample is not None:
        msg = "--sample chooses from past runs: give --runs too"
        raise click.UsageError(msg)
    app, workflow = parse_target(target)
    cases = [] if cases_file is None else read_cases(cases_file)
    earlier = None if earlier_file is None else _read_report(earlier_file)
    _check_writable([file for file in (json_file, csv_file) if file is not None])
    try:
        chosen = make_id(evaluation_id, "eval")
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--id") from error
    plan = Plan(chosen, app, workflow, tuple(_judge(each, app) for each in judges), repeat, timeout, concurrency)
    tell = None if quiet else _tell

    def work(host: "Host") -> "Report":
        return _evaluate(
            host, plan, cases, cases_file or "", _chosen(host, workflow, past, sample, plan), earlier, tell
        )

    try:
        report = _hosted(settings, imports, quiet=quiet, work=work)
    except KeyboardInterrupt:
        note(f"the evaluation was interrupted; what its runs have done is kept: the same command with --id {chosen}")
        return INTERRUPTED
    if settings.json:
        emit(report)
    else:
        from greenroom.cli.commands.evaluation.display import show

        show(report)
    _write(report, json_file, csv_file)  # last, as it may fail
    enough = report.pass_rate is not None and (threshold is None or report.pass_rate >= threshold)
    return 0 if enough else RUN_FAILED


def _hosted(settings: Settings, imports: Imports, *, quiet: bool, work: "Callable[[Host], Report]") -> "Report":
    """Do the work with the orchestrator that lives on the home, or with one of this process."""
    from greenroom.cli.commands.evaluation.hosts import OtherHost, OwnHost
    from greenroom.cli.hosting.log_file import log_to_home
    from greenroom.cli.hosting.ownership import open_orchestrator, settle

    def ask() -> "Report":
        with look(settings.home) as reads:
            return work(OtherHost(settings.home, reads))

    def live() -> "Report":
        with open_orchestrator(settings, output=not quiet, imports=imports) as orchestrator:
            log_to_home(orchestrator.home, secrets=imports.secrets())
            return work(OwnHost(orchestrator))

    return settle(settings, ask, live)


def _evaluate(
    host: "Host",
    plan: "Plan",
    cases: Sequence[Case],
    cases_file: str,
    past: "Sequence[Subject]",
    earlier: "Report | None",
    tell: "Callable[[Trial], None] | None",
) -> "Report":
    from greenroom.cli.commands.evaluation.trials import check_plan, subjects_of, trials
    from greenroom.metrics.evals.report import report

    wrong, faults = check_plan(host, plan, cases)
    if wrong:
        raise click.UsageError("; ".join(wrong))
    refuse(cases_file, faults)
    subjects = [*subjects_of(plan, cases), *past]
    made = trials(host, plan, subjects, tell or (lambda _: None))
    found = report(plan.id, plan.workflow, made, earlier)
    if earlier is not None and found.comparison is None:
        note("the earlier report has scored none of these cases, so there is nothing to compare")
    return found


def _chosen(host: "Host", workflow: str, past: Sequence[str], sample: float | None, plan: "Plan") -> "list[Subject]":
    """Return the past runs to score.

    Raises:
        RunNotFound: There is no run with a given id.
        UsageError: There is none at all, or one is of another workflow.
    """
    from greenroom.cli.commands.evaluation.trials import past_subjects
    from greenroom.messages.records.evaluation import is_sampled
    from greenroom.messages.records.records import ENDED

    if not past:
        return []
    if ALL in past:
        records = [each for each in host.reads.runs(name=workflow, limit=None) if each.status in ENDED]
    else:
        records = [host.reads.run(run_id) for run_id in dict.fromkeys(past)]
    if strange := [each for each in records if each.workflow != workflow]:
        msg = f"run {strange[0].id} is one of workflow {strange[0].workflow!r}, not of {workflow!r}"
        raise click.UsageError(msg)
    names = [name for _, name in plan.judges]
    ids = [each.id for each in records if sample is None or is_sampled(each.id, sample, names)]
    if not ids:
        msg = f"there is no run of workflow {workflow!r} to score"
        raise click.UsageError(msg)
    return list(past_subjects(ids))


def _judge(given: str, app: str) -> tuple[str, str]:
    """Return app and name of an evaluator; without a file it is of the workflow's."""
    file, colon, name = given.rpartition(":")
    if not name.isidentifier():
        msg = f"{given!r} names no evaluator; write FILE.py:NAME, or NAME for one in the workflow's file"
        raise click.BadParameter(msg, param_hint="--judge")
    return (find_app(file, "--judge") if colon else app), name


def _read_report(file: str) -> "Report":
    from pydantic import ValidationError

    from greenroom.metrics.evals.report import Report

    text = read_file(file, "--compare")
    try:
        return Report.model_validate_json(text)
    except ValidationError as error:
        msg = f"{file!r} is not a report that `eval` has written with --json"
        raise click.BadParameter(msg, param_hint="--compare") from error


def _check_writable(files: Sequence[str]) -> None:
    """Raise ``BadParameter`` for a file that cannot be written, before anything is spent."""
    for file in files:
        path = Path(file).absolute()
        if not path.parent.is_dir() or path.is_dir():
            why = "its folder does not exist, or it is a folder"
        elif not os.access(path if path.exists() else path.parent, os.W_OK):
            why = "you may not write there"
        else:
            continue
        msg = f"{file!r} cannot be written: {why}"
        raise click.BadParameter(msg, param_hint="--json or --csv")


def _write(report: "Report", json_file: str | None, csv_file: str | None) -> None:
    from greenroom.cli.commands.evaluation.display import as_csv

    if json_file is not None:
        Path(json_file).write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if csv_file is not None:
        Path(csv_file).write_text(as_csv(report), encoding="utf-8", newline="")


def _tell(trial: "Trial") -> None:
    from greenroom.cli.commands.evaluation.display import line

    say(line(trial.case, trial.repeat, trial.outcome, trial.seconds), sys.stderr)
