"""The verdict on a result, given its evaluations. Pure."""

from collections.abc import Sequence

from greenroom.messages.options.policy import OnEvaluatorError, OnReject
from greenroom.messages.records.evaluation import Evaluation, Verdict, deciding


def verdict(
    evaluations: Sequence[Evaluation], on_reject: OnReject, on_error: OnEvaluatorError | None = None
) -> Verdict:
    """Return what becomes of a result.

    A result that every evaluator passes is accepted. One that an evaluator rejects gets the verdict ``on_reject``.
    If none rejects it but an evaluator itself failed, ``on_error`` decides: the result gets ``on_reject`` as well, is
    used and flagged for review, or is accepted. By default it is flagged, unless a rejected result fails the step: then
    a result that was not evaluated is not used either. Of a panel, only its own evaluation counts.
    """
    if not is_undecided(evaluations):
        return "accept" if all(item.passed for item in deciding(evaluations)) else on_reject
    match on_error or ("reject" if on_reject == "fail" else "flag"):
        case "reject":
            return on_reject
        case usable:
            return usable


def is_undecided(evaluations: Sequence[Evaluation]) -> bool:
    """Return whether no evaluator rejects a result, but one that would have to pass it has failed."""
    counted = list(deciding(evaluations))
    rejected = any(not item.passed and item.score is not None for item in counted)
    return not rejected and not all(item.passed for item in counted)
