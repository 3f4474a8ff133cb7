"""The page of one run, as ``greenroom runs show`` prints it: 80 columns wide, with every text made harmless."""

import json
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from greenroom.cli.display.transcript import called
from greenroom.cli.display.values import between, blank, column_width, cost, facts, say, seconds, trace
from greenroom.messages.advice import approve, reject
from greenroom.messages.core.json_text import plain
from greenroom.messages.core.times import iso
from greenroom.messages.records.evaluation import in_figures
from greenroom.messages.records.records import usage_of
from greenroom.messages.transcript import read_answer
from greenroom.metrics.printable import printable

if TYPE_CHECKING:
    from greenroom.messages.records.attempts import AttemptRecord
    from greenroom.messages.records.evaluation import Evaluation
    from greenroom.messages.records.records import ApprovalRecord, DecisionRecord, RunRecord, StepRecord
    from greenroom.workflows.state.run_state import RunState

NAME: Final = 20
"""Width of the names on the left."""
KEY: Final = 38
"""Width of a step's key; a longer key has a line of its own."""


def show_run(
    run: "RunRecord",
    state: "RunState",
    steps: "Sequence[StepRecord]",
    waits: Sequence[str],
    asked: "Sequence[ApprovalRecord]",
    decided: "Sequence[DecisionRecord]",
) -> None:
    """Print the state, input, steps, approvals and result of a run."""
    facts(
        [
            ("run", run.id),
            ("workflow", run.workflow),
            ("app", run.app),
            ("status", run.status),
            ("reason", run.reason),
            ("waits for", "; ".join(waits)),
            ("input", _value(state.arguments)),
            ("started", run.started_at),
            ("duration", seconds(between(run.started_at, run.ended_at))),
            ("models", _used(run, steps)),
            ("parent", run.parent),
            ("state", None if state.shared is None else _value(state.shared)),
            ("result", _value(state.result) if run.status == "completed" else None),
        ],
        wrapped=True,
    )
    _show_evaluations(run.evaluations)
    for step in steps:
        blank()
        _show_step(step)
    if asked or decided:
        blank()
    for question in asked:
        _line(f"asks a person: {question.action}", question.args, "decide, while it runs, with one of:")
        for command in (approve(question.id), reject(question.id)):
            say(f"    {command}")  # never wrapped, so that it can be copied
    for decision in decided:
        who = f" by {decision.by}" if decision.by else ""
        comment = f": {decision.comment}" if decision.comment else ""
        said = {"approve": "approved", "reject": "rejected", "edit": "approved with changes"}[decision.decision]
        _line(f"{said}{who}: {decision.action}", decision.args, f"{iso(decision.decided_at)}{comment}")
    show_traces(run, steps)


def show_traces(run: "RunRecord", steps: "Sequence[StepRecord]" = ()) -> None:
    """Print the traceback of the run, and those of failed steps if they say more."""
    whole = run.failure.report() if run.failure is not None else ""
    trace(f"run {run.id} failed:", whole)
    for step in steps:
        last = next((each for each in reversed(step.attempts) if each.outcome is not None), None)
        if last is not None and step.status != "completed" and _bare(last.traceback) not in _bare(whole):
            trace(f"step {step.key} attempt {last.number} failed:", last.traceback)


def _bare(text: str) -> str:
    """Return a traceback without the margins that it has inside an exception group."""
    return "\n".join(line.lstrip(" |") for line in text.splitlines())


def _show_step(step: "StepRecord") -> None:
    took = seconds(between(step.scheduled_at, step.ended_at))
    flag = "  flagged for review" if step.flagged else ""
    key = printable(step.key)
    if len(key) > KEY:
        say(key)
        key = ""
    say(f"{key:<{KEY}}  {step.status:<10}  {took}{flag}".rstrip())
    if call := _call(step):
        _wrapped(call, 2)
    for attempt in step.attempts:
        _show_attempt(attempt)
    _show_evaluations(step.evaluations)


def _show_evaluations(evaluations: "Iterable[Evaluation]") -> None:
    for one in evaluations:
        score = "failed" if one.score is None else " of ".join(in_figures(one.score, one.threshold))
        background = " (in the background)" if one.background else ""
        _wrapped(", ".join([f"{one.name}: {score}{background}", *filter(None, (one.reason, one.error))]), 4)


def _show_attempt(attempt: "AttemptRecord") -> None:
    took = seconds(between(attempt.started_at, attempt.ended_at))
    say(f"  {attempt.number:>3}  {attempt.outcome or 'running':<9}  {took:>8}  {attempt.worker} (pid {attempt.pid})")
    if attempt.progress is not None:
        _wrapped(f"progress: {_value(attempt.progress)}", 7)
    if attempt.error:
        place = f" ({attempt.place})" if attempt.place else ""
        for line in f"{attempt.error}{place}".split("\n"):
            _wrapped(line, 7)


def _used(run: "RunRecord", steps: "Sequence[StepRecord]") -> str | None:
    """Return what the model calls of a run have used; None if there are none."""
    used = usage_of(steps, run.evaluations)
    if not used:
        return None
    tokens = f"{used.get('input_tokens', 0):.0f} input and {used.get('output_tokens', 0):.0f} output tokens"
    return f"{tokens}, {cost(used.get('usd'), int(used.get('unpriced', 0)))}".rstrip(", ")


def _call(step: "StepRecord") -> str:
    """Return a step as a call with its result; of a model call in a conversation, what the model answered."""
    given: Any = plain(step.arguments) or {}
    if step.kind == "llm" and "transcript" in given:
        return _answered(step)
    words = [_value(each) for each in given.get("args", ())]
    words += [f"{name}={_value(each)}" for name, each in given.get("kwargs", {}).items()]
    gave = f" -> {_value(step.result)}" if step.status == "completed" else ""
    return f"({', '.join(words)}){gave}"


def _answered(step: "StepRecord") -> str:
    """Return the text and the calls of tools in a model's answer; the conversation so far is in its transcript."""
    if step.status != "completed":
        return ""
    message = read_answer(step.result).message
    said = [_value(message.text)] if message.text else []
    return " ".join(f"-> {_short(each)}" for each in [*said, *map(called, message.calls)])


def _line(what: str, args: Any, more: str) -> None:
    say(printable(what))
    _wrapped(_value(args), 2)
    _wrapped(more, 2)


def _value(value: Any) -> str:
    """Return a value as JSON, shortened to a few lines."""
    return _short(json.dumps(_read(value), ensure_ascii=False))


def _short(text: str) -> str:
    most = 3 * column_width()
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters; all of it with -o json)"


def _read(value: Any) -> Any:
    """Return a value as plain Python data."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in cast("dict[str, Any]", value).items()}
    return plain(value)


def _wrapped(text: str, indent: int) -> None:
    for line in _lines(printable(text), column_width() - indent):
        say(" " * indent + line)


def _lines(text: str, width: int) -> Iterable[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]
