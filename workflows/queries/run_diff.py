"""The first difference of two runs."""

from collections.abc import Iterator

from greenroom.messages.core.json_text import JsonText
from greenroom.messages.core.message import Json
from greenroom.messages.records.records import Difference
from greenroom.workflows.state.run_state import RunState, Step


def first_difference(a: RunState, b: RunState) -> Difference | None:
    """Return the first difference of two runs; None if arguments, steps and result are the same so far.

    Steps are matched by key and compared in the order in which the first run scheduled them. The number and times of
    their attempts are not compared.
    """
    return next(_differences(a, b), None)


def _differences(a: RunState, b: RunState) -> Iterator[Difference]:
    if a.workflow != b.workflow:
        yield Difference(what="workflow", a=a.workflow, b=b.workflow)
    if a.arguments != b.arguments:
        yield Difference(what="arguments", a=JsonText.of_members(a.arguments), b=JsonText.of_members(b.arguments))
    for key, step in a.steps.items():
        if (other := b.steps.get(key)) is None:
            yield Difference(what="missing", key=key, a=step.arguments)
        elif step.arguments != other.arguments:
            yield Difference(what="arguments", key=key, a=step.arguments, b=other.arguments)
        elif _outcome(a, step) != _outcome(b, other):
            yield Difference(what="result", key=key, a=_outcome(a, step), b=_outcome(b, other))
    for key, step in b.steps.items():
        if key not in a.steps:
            yield Difference(what="missing", key=key, b=step.arguments)
    if _end(a) != _end(b):
        yield Difference(what="result", a=_end(a), b=_end(b))


def _outcome(state: RunState, step: Step) -> Json:
    """Return a step's result, or its status and failure."""
    if step.status == "completed":
        return step.result
    failure = next((each.failure for each in state.resolutions if each.key == step.key), None)
    return f"{step.status}: {failure.sentence()}" if failure is not None else step.status


def _end(state: RunState) -> Json:
    return state.result if state.ended == "completed" else f"{state.status}: {state.reason or ''}".removesuffix(": ")
