"""The report of an evaluation: for people, and as CSV."""

import csv
import io
from typing import TYPE_CHECKING

from greenroom.cli.display.values import blank, cost, facts, seconds, table

if TYPE_CHECKING:
    from greenroom.metrics.evals.report import Comparison, Report


def show(report: "Report") -> None:
    """Print a report for a person."""
    facts(
        [
            ("evaluation", report.id),
            ("workflow", report.workflow),
            ("trials", f"{len(report.trials)} of {report.cases} cases"),
            ("pass rate", _rate(report)),
            ("not scored", report.unscored or None),
            ("flaky cases", ", ".join(report.flaky)),
            ("agreement", _agreement(report)),
            ("usage", _usage(report.usage)),
            *_comparison(report.comparison),
        ],
        wrapped=True,
    )
    if report.evaluators:
        blank()
        rows = [
            (each.name, each.scored, each.passed, "" if each.mean is None else f"{each.mean:.3f}", each.failures)
            for each in report.evaluators
        ]
        table(("evaluator", "scored", "passed", "mean", "failures"), rows)
    bad = [trial for trial in report.trials if trial.outcome != "passed"]
    if bad:
        blank()
        table(
            ("case", "repeat", "outcome", "run", "why"),
            [(each.case, each.repeat, each.outcome, each.run_id, each.reason) for each in bad],
        )


def _rate(report: "Report") -> str:
    if report.pass_rate is None or report.low is None or report.high is None:
        return "none: no trial could be scored"
    share = f"{report.passed} of {report.scored}: {report.pass_rate:.1%}"
    return f"{share} (95 % interval {report.low:.1%} to {report.high:.1%})"


def _agreement(report: "Report") -> str:
    found = report.agreement
    if found is None:
        return ""
    named = (("passing", found.nominal), ("scores", found.interval))
    return "alpha of " + ", of ".join(f"{what} {'undefined' if a is None else f'{a:.3f}'}" for what, a in named)


def _usage(usage: dict[str, float]) -> str:
    tokens = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
    price = cost(usage.get("usd"), int(usage.get("unpriced", 0)))
    return f"{tokens:.0f} tokens, {price}".rstrip(", ") if tokens or price else ""


def _comparison(found: "Comparison | None") -> list[tuple[str, object]]:
    if found is None:
        return []
    change = f"{found.difference:+.1%} (95 % interval {found.low:+.1%} to {found.high:+.1%})"
    rates = f"{found.passed} of {found.cases} cases pass, {found.earlier_passed} before"
    return [
        (f"beside {found.earlier}", f"{rates}: {change}; exact McNemar p = {found.p_value:.3g}"),
        ("gained", ", ".join(found.gained)),
        ("lost", ", ".join(found.lost)),
    ]


def as_csv(report: "Report") -> str:
    """Return the trials as CSV, one line each, with two columns per evaluator.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    names = [each.name for each in report.evaluators]
    text = io.StringIO()
    writer = csv.writer(text)
    columns = ["case", "repeat", "run_id", "outcome", "reason", "seconds", "usd", "unpriced"]
    writer.writerow([*columns, *(_cell(f"{name}{what}") for name in names for what in ("", " passed"))])
    for trial in report.trials:
        said = {each.name: each for each in trial.evaluations}
        given = [said.get(name) for name in names]
        scores = [cell for each in given for cell in (("", "") if each is None else (each.score, each.passed))]
        facts_ = [trial.case, trial.repeat, trial.run_id, trial.outcome, trial.reason]
        prices = [trial.usage.get("usd"), int(trial.usage.get("unpriced", 0))]
        row = [*facts_, trial.seconds, *prices, *scores]
        writer.writerow([_cell(each) for each in row])
    return text.getvalue()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def line(case: str, repeat: int, outcome: str, took: float | None) -> str:
    """Return the line that tells of one trial while others go on."""
    return f"{case} #{repeat}: {outcome}{f' after {seconds(took)}' if took is not None else ''}"
