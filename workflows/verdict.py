"""From evaluations to a verdict."""

from collections.abc import Sequence

from understudy.messages.evaluation import Evaluation, Verdict
from understudy.messages.policy import OnReject


def verdict(evaluations: Sequence[Evaluation], on_reject: OnReject) -> Verdict:
    """Decide what becomes of a result.

    A result is accepted when every evaluator passed it. One that an evaluator refused meets ``on_reject``. Where none
    refused it but some evaluator itself failed, nobody knows: the result is used and flagged for review, because a
    broken evaluator is neither a pass nor a fail.
    """
    if any(not item.passed and item.score is not None for item in evaluations):
        return on_reject
    return "accept" if all(item.passed for item in evaluations) else "flag"
