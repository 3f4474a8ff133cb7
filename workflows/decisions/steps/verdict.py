"""From evaluations to a verdict."""

from collections.abc import Sequence

from greenroom.messages.evaluation import Evaluation, Verdict
from greenroom.messages.policy import OnEvaluatorError, OnReject


def verdict(
    evaluations: Sequence[Evaluation], on_reject: OnReject, on_error: OnEvaluatorError | None = None
) -> Verdict:
    """Decide what becomes of a result.

    A result is accepted when every evaluator passed it. One that an evaluator refused meets ``on_reject``. Where none
    refused it but some evaluator itself failed, nobody knows, because a broken evaluator is neither a pass nor a fail:
    ``on_error`` says whether such a result meets ``on_reject`` too, is used and flagged for review, or is used as if
    accepted. Where it says nothing, the result is flagged, unless a rejected one would fail the step: whoever wants
    nothing used that was refused wants nothing used that nobody has looked at.
    """
    if any(not item.passed and item.score is not None for item in evaluations):
        return on_reject
    if all(item.passed for item in evaluations):
        return "accept"
    match on_error or ("reject" if on_reject == "fail" else "flag"):
        case "reject":
            return on_reject
        case usable:
            return usable
