"""The trials of an evaluation: each runs a case, or takes a past run, and has evaluators rate the result."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from hashlib import sha256
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from greenroom.actors.evaluation import rules
from greenroom.cli.commands.evaluation.cases import Case
from greenroom.cli.commands.evaluation.hosts import Host, run
from greenroom.messages.core.errors import (
    GreenroomError,
    OrchestratorClosed,
    OrchestratorUnreachable,
    RunFailed,
    RunNotFound,
)
from greenroom.messages.core.json_text import plain
from greenroom.messages.events.events import ChildScheduled, RunStarted
from greenroom.messages.ids import run_id as new_id
from greenroom.messages.records.evaluation import Evaluation
from greenroom.messages.records.records import ENDED, usage_of
from greenroom.metrics.evals.report import Trial, outcome_of
from greenroom.workflows.authoring.evaluators.evaluation_run import CHECK, EVALUATE

if TYPE_CHECKING:
    from greenroom.messages.records.records import StepRecord

AT_ONCE: Final = 200
"""Cases whose inputs are checked by one run."""
_MACHINERY: Final = frozenset({"crash", "timeout", "cancelled"})
"""Outcomes that say nothing about the quality of a workflow."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to evaluate.

    Attributes:
        id: Id of the evaluation, from which those of its runs are made.
        app: The app of the workflow.
        workflow: Name of the workflow.
        judges: The evaluators: app, and name in it.
        repeats: Runs of each case.
        timeout: Seconds that one run may take; None for no limit.
        concurrency: Trials at a time.
    """

    id: str
    app: str
    workflow: str
    judges: tuple[tuple[str, str], ...]
    repeats: int
    timeout: float | None
    concurrency: int


@dataclass(frozen=True, slots=True)
class Subject:
    """One trial to be made.

    Attributes:
        case: Name of its case.
        repeat: Its number within the case.
        run_id: Id of the run.
        inputs: Arguments of the run, to start it; None if it has ended already.
        context: What evaluators see beside the call.
    """

    case: str
    repeat: int
    run_id: str
    inputs: dict[str, Any] | None
    context: dict[str, Any]


def check_plan(host: Host, plan: Plan, cases: Sequence[Case]) -> tuple[list[str], list[tuple[int, str]]]:
    """Have workers check the evaluators, and the inputs of all cases.

    Return what is wrong with the evaluators, and with the cases: line and sentence.
    """
    general: list[str] = []
    faults: list[tuple[int, str]] = []
    for app in {app: None for app, _ in plan.judges if app != plan.app}:
        general += _checked(host, app, "", [name for each, name in plan.judges if each == app], [])[0]
    names = [name for app, name in plan.judges if app == plan.app]
    for first in range(0, len(cases), AT_ONCE):
        some = cases[first : first + AT_ONCE]
        wrong = _checked(host, plan.app, plan.workflow, names, [case.inputs for case in some])
        general += wrong[0] if first == 0 else []
        for case, found in zip(some, wrong[1:], strict=False):
            faults += [(case.line, f"the inputs do not fit workflow {plan.workflow}: {each}") for each in found]
    if not cases:
        general += _checked(host, plan.app, plan.workflow, names, [])[0]
    return general, faults


def _checked(
    host: Host, app: str, workflow: str, evaluators: list[str], cases: list[dict[str, Any]]
) -> list[list[str]]:
    arguments = {"app": app, "workflow": workflow, "evaluators": evaluators, "cases": cases}
    found: Any = plain(run(host, app, CHECK, arguments, new_id(None, "eval-check"), None))
    return [list(map(str, each)) for each in found]


def subjects_of(plan: Plan, cases: Sequence[Case]) -> Iterator[Subject]:
    """Yield the trials of all cases."""
    for place, case in enumerate(cases, start=1):
        for repeat in range(1, plan.repeats + 1):
            yield Subject(case.id, repeat, f"{plan.id}-{place}-{repeat}", case.inputs, case.context)


def past_subjects(run_ids: Sequence[str]) -> Iterator[Subject]:
    """Yield a trial per run that has ended. Its case is named by its id."""
    for run_id in run_ids:
        yield Subject(run_id, 1, run_id, None, {})


def trials(host: Host, plan: Plan, subjects: Sequence[Subject], ended: Callable[[Trial], None]) -> list[Trial]:
    """Make all trials, several at a time, and return them in order. ``ended`` is called with each.

    Raises:
        OrchestratorClosed: The orchestrator has stopped.
        OrchestratorUnreachable: The same, for that of another process.
    """
    open_ = deque((subject, Future[Trial]()) for subject in subjects)
    futures = [future for _, future in open_]

    def work() -> None:
        while True:
            try:
                subject, future = open_.popleft()
            except IndexError:
                return
            try:
                trial = _trial(host, plan, subject)
                ended(trial)
                future.set_result(trial)
            except BaseException as error:  # noqa: BLE001  raised again where it is awaited
                future.set_exception(error)

    # Daemons, as a wait for a run of another process would otherwise outlast an interrupt.
    for number in range(min(plan.concurrency, len(futures))):
        Thread(target=work, name=f"trial-{number}", daemon=True).start()
    try:
        return [future.result() for future in futures]
    finally:
        open_.clear()


def _trial(host: Host, plan: Plan, subject: Subject) -> Trial:
    def unscored(reason: str) -> Trial:
        return Trial(case=subject.case, repeat=subject.repeat, run_id=subject.run_id, outcome="unscored", reason=reason)

    try:
        if subject.inputs is not None:
            result = plain(run(host, plan.app, plan.workflow, subject.inputs, subject.run_id, plan.timeout))
        elif host.reads.run(subject.run_id).status in ENDED:
            result = plain(host.result(subject.run_id, None))
        else:
            return unscored("the run has not ended")
    except (OrchestratorClosed, OrchestratorUnreachable):
        raise
    except RunFailed as error:
        steps = host.reads.steps(subject.run_id)
        failed = unscored(str(error).partition("\n")[0])
        if not by_machinery(error, steps):
            failed = failed.model_copy(update={"outcome": "failed"})
        used, took = _used(host, subject.run_id), _seconds(host, subject.run_id)
        return failed.model_copy(update={"usage": used, "seconds": took})
    except (GreenroomError, TimeoutError) as error:  # cancelled, parked, no workers, not in time
        return unscored(str(error).partition("\n")[0]).model_copy(update={"usage": _used(host, subject.run_id)})
    steps = host.reads.steps(subject.run_id)
    evaluations, usage = _evaluations(host, plan, subject, result, steps)
    outcome, reason = outcome_of(evaluations)
    return Trial(
        case=subject.case,
        repeat=subject.repeat,
        run_id=subject.run_id,
        outcome=outcome,
        reason=reason,
        evaluations=evaluations,
        seconds=_seconds(host, subject.run_id),
        usage=_sum([_used(host, subject.run_id), usage]),
    )


def by_machinery(error: RunFailed, steps: "Sequence[StepRecord]") -> bool:
    """Return whether a run failed for a crash, a time-out or its model's provider, not for its own code or answers."""
    last = error.attempts[-1] if error.attempts else error.failure
    outcome = None if last is None else last.outcome
    kind = next((step.kind for step in steps if step.key == error.step), None)
    return outcome in _MACHINERY or (kind == "llm" and outcome == "error")


def _evaluations(
    host: Host, plan: Plan, subject: Subject, result: Any, steps: "Sequence[StepRecord]"
) -> tuple[tuple[Evaluation, ...], dict[str, float]]:
    """Return what the evaluators say about a result, and what they have used."""
    if not plan.judges:
        return _compared(result, subject.context), {}
    call = {"args": [], "kwargs": _inputs(host, subject), **subject.context, "steps": list(map(_step, steps))}
    found: list[Evaluation] = []
    usage: dict[str, float] = {}
    for app in dict.fromkeys(app for app, _ in plan.judges):
        names = [name for each, name in plan.judges if each == app]
        mark = sha256(json.dumps([plan.id, app, names]).encode()).hexdigest()[:8]
        judged = f"{subject.run_id}-judged-{mark}"
        arguments = {"app": app, "evaluators": names, "result": result, "call": call}
        try:
            said: Any = plain(run(host, app, EVALUATE, arguments, judged, plan.timeout))
            found += [Evaluation.model_validate_json(json.dumps(each)) for each in said]
        except (OrchestratorClosed, OrchestratorUnreachable):
            raise
        except (GreenroomError, TimeoutError) as error:
            why = str(error).partition("\n")[0]
            found += [Evaluation(name=name, score=None, passed=False, threshold=0.0, error=why) for name in names]
        usage = _sum([usage, _used(host, judged)])
    return tuple(found), usage


def _compared(result: Any, context: dict[str, Any]) -> tuple[Evaluation, ...]:
    """Return the comparison with the expected output, if there is one: what is done where no evaluator is named."""
    if "expected" not in context:
        return ()
    score = rules.score(rules.Equals(), result, context)
    passed = score.value == 1.0
    return (Evaluation(name="equals expected", score=score.value, passed=passed, threshold=1.0, reason=score.reason),)


def _inputs(host: Host, subject: Subject) -> dict[str, Any]:
    if subject.inputs is not None:
        return subject.inputs
    first = host.reads.events(subject.run_id, limit=1)[0].event
    assert isinstance(first, RunStarted), "the first event of every run"
    return {name: plain(value) for name, value in first.arguments.items()}


def _step(step: "StepRecord") -> dict[str, Any]:
    """Return a step as evaluators see it."""
    return {"name": step.name, "kind": step.kind, "status": step.status, "arguments": plain(step.arguments)}


def _seconds(host: Host, run_id: str) -> float | None:
    record = host.reads.run(run_id)
    return None if record.ended_at is None else (record.ended_at - record.started_at).total_seconds()


def _used(host: Host, run_id: str) -> dict[str, float]:
    """Return what a run has used together with its children; nothing if it could not be started."""
    used: list[dict[str, float]] = []
    family = [run_id]
    for each in family:
        try:
            events = host.reads.events(each)
            used.append(usage_of(host.reads.steps(each), host.reads.run(each).evaluations))
        except RunNotFound:  # it was not started
            continue
        family += [stored.event.run_id for stored in events if isinstance(stored.event, ChildScheduled)]
    return _sum(used)


def _sum(usages: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: sum(usage.get(name, 0.0) for usage in usages) for name in dict.fromkeys(n for u in usages for n in u)}
