"""The first difference of two runs."""

from collections.abc import Iterator
from functools import partial
from typing import Literal

from greenroom.messages.core.equality import same
from greenroom.messages.core.json_text import JsonText
from greenroom.messages.core.message import Json
from greenroom.messages.records.records import Difference
from greenroom.workflows.state.run_state import RunState


def first_difference(a: RunState, b: RunState) -> Difference | None:
    """Return the first difference of two runs; None if arguments, steps and result are the same so far.

    Steps and child runs are matched by key and compared in the order in which the first run asked for them. The number
    and times of their attempts are not compared, and neither is the inside of a child.
    """
    return next(_differences(a, b), None)


def _differences(a: RunState, b: RunState) -> Iterator[Difference]:
    if a.workflow != b.workflow:
        yield Difference(what="workflow", a=a.workflow, b=b.workflow)
    if not same(a.arguments, b.arguments):
        yield Difference(what="arguments", a=JsonText.of_members(a.arguments), b=JsonText.of_members(b.arguments))
    ours, theirs = _calls(a), _calls(b)
    for key in ours:
        asked, found = _arguments(a, key), partial(Difference, key=key, kind=_kind(a, key))
        if key not in theirs:
            yield found(what="missing", a=asked)
        elif not same(asked, other := _arguments(b, key)):
            yield found(what="arguments", a=asked, b=other)
        elif not same(_outcome(a, key), _outcome(b, key)):
            yield found(what="result", a=_outcome(a, key), b=_outcome(b, key))
    for key in theirs:
        if key not in ours:
            yield Difference(what="missing", key=key, kind=_kind(b, key), b=_arguments(b, key))
    if not same(_end(a), _end(b)):
        yield Difference(what="result", a=_end(a), b=_end(b))


def _calls(state: RunState) -> dict[str, None]:
    """Return the keys of a run's steps and children, in the order in which it asked for them."""
    return dict.fromkeys(sorted((*state.steps, *state.children), key=lambda key: state.asked.get(key, 0)))


def _kind(state: RunState, key: str) -> Literal["step", "child"]:
    return "step" if key in state.steps else "child"


def _arguments(state: RunState, key: str) -> Json:
    step = state.steps.get(key)
    return step.arguments if step is not None else JsonText.of_members(state.children[key].arguments)


def _outcome(state: RunState, key: str) -> Json:
    """Return the result of a step or child, or its status and failure."""
    step = state.steps.get(key)
    if step is not None and step.status == "completed":
        return step.result
    ended = next((each for each in state.resolutions if each.key == key), None)
    if step is None and ended is not None and ended.failure is None:
        return ended.value
    status = step.status if step is not None else "failed" if ended is not None else "running"
    return f"{status}: {ended.failure.sentence()}" if ended is not None and ended.failure is not None else status


def _end(state: RunState) -> Json:
    return state.result if state.ended == "completed" else f"{state.status}: {state.reason or ''}".removesuffix(": ")
