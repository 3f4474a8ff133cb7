"""``greenroom metrics``: figures over all runs of the journal."""

from typing import TYPE_CHECKING

import click

from greenroom.cli.command_group import common, pass_settings
from greenroom.cli.display.values import blank, cost, emit, facts, look, seconds, table
from greenroom.cli.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from greenroom.metrics.figure_records import StepFigures, Totals, WorkflowFigures


@click.command()
@common
@pass_settings
def metrics(settings: Settings) -> None:
    """Show latencies, retries, crashes and success rates per workflow and step. Needs no running orchestrator."""
    with look(settings.home) as reads:
        figures = reads.metrics()
    if settings.json:
        emit(figures)
        return
    facts(_totals(figures.totals))
    blank()
    columns = (
        "workflow",
        "step",
        "kind",
        "calls",
        "done",
        "failed",
        "retries",
        "ended badly",
        "cost",
        "p50",
        "p95",
        "p99",
    )
    table(columns, [_row(flow.name, step) for flow in figures.workflows for step in flow.steps])
    scores = [row for flow in figures.workflows for row in _scores(flow)]
    if scores:
        blank()
        table(("workflow", "step", "rated in the background by", "rated", "passed", "failed", "mean", "cost"), scores)


def _totals(totals: "Totals") -> list[tuple[str, object]]:
    statuses = ", ".join(f"{count} {status}" for status, count in totals.statuses.items() if count)
    return [
        ("runs", f"{totals.runs}: {statuses}" if statuses else totals.runs),
        ("success rate", "" if totals.success_rate is None else f"{totals.success_rate:.1%}"),
        ("failure rate", "" if totals.failure_rate is None else f"{totals.failure_rate:.1%}"),
        ("steps", f"{totals.steps} with {totals.attempts} attempts, {totals.retries} of them retries"),
        ("faults", f"{totals.crashes} crashes, {totals.timeouts} timeouts, {totals.invalid} invalid answers"),
        ("rejections", f"{totals.rejections}, and {totals.flagged} flagged"),
        ("worker restarts", totals.restarts),
    ]


def _scores(flow: "WorkflowFigures") -> "Iterator[tuple[object, ...]]":
    """Yield a row for each evaluator in the background, those of the runs' results first."""
    found = [("", each) for each in flow.background]
    found += [(step.name, each) for step in flow.steps for each in step.background]
    for step, each in found:
        mean = "" if each.mean is None else f"{each.mean:.2f}"
        price = cost(each.usage.get("usd"), 0)
        yield flow.name, step, each.evaluator, each.rated, each.passed, each.unrated, mean, price


def _row(workflow: str, step: "StepFigures") -> tuple[object, ...]:
    badly = ", ".join(f"{count} {outcome}" for outcome, count in step.outcomes.items() if outcome != "ok" and count)
    spread = step.latency
    return (
        workflow,
        step.name,
        step.kind,
        step.count,
        step.completed,
        step.failed,
        step.retries,
        badly,
        cost(step.usage.get("usd"), step.unpriced),
        seconds(spread.p50),
        seconds(spread.p95),
        seconds(spread.p99),
    )
