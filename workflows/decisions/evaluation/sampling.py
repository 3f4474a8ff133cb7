"""Decisions about answers that are rated in the background, after they were used. Pure.

Which answers are sampled follows from the run and the call, so a replay, and the next orchestrator, sample the same
ones. An answer is recorded as sampled with the event that makes it one. Its evaluators are asked after that commit, and
their scores are recorded once, maybe after the run's end. They change nothing about the run.
"""

import math
from collections.abc import Iterator

from greenroom.messages.core.errors import BudgetUsedUp
from greenroom.messages.core.frozen import frozen
from greenroom.messages.core.json_text import JsonText, text_of
from greenroom.messages.core.message import Json
from greenroom.messages.events import events as ev
from greenroom.messages.options.policy import EvaluatorOptions, Sampling, StepOptions
from greenroom.messages.records.evaluation import Evaluation, is_sampled
from greenroom.messages.refusals import LONGEST_MESSAGE
from greenroom.messages.transcript import read_answer
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.state.run_state import Step
from greenroom.workflows.state.transcripts import judged_arguments, judged_result


@frozen
class _Answer:
    """An answer that is sampled; see ``AnswerSampled``."""

    sample: str
    result: Json
    arguments: Json
    threshold: float = StepOptions().threshold
    key: str = ""
    attempt: int = 0
    turn: int = 0


def sample_step(out: Decision, step: Step, attempt: int, sampling: Sampling) -> None:
    """Record that the result of a step is to be rated, if it is sampled. Of a conversation, only the last answer is."""
    if step.transcript is not None and not read_answer(step.result).final:
        return
    state = out.state
    turn = 0 if state.session is None or state.letter is None else state.letter[0]
    place = f"{turn}:{step.key}" if turn else step.key  # in a session, keys are the same in every turn
    if (chosen := _chosen(sampling, f"{state.run_id}/{place}")) is not None:
        answer = _Answer(
            f"{place}@{attempt}",
            judged_result(step),
            judged_arguments(state, step),
            step.options.threshold,
            step.key,
            attempt,
            turn,
        )
        _sample(out, chosen, answer)


def sample_result(out: Decision, result: Json, sampling: Sampling) -> None:
    """Record that the result of the run is to be rated, if it is sampled. Evaluators see its arguments and steps."""
    state = out.state
    if (chosen := _chosen(sampling, state.run_id)) is not None:
        steps = JsonText.of_items([_shown(step) for step in state.steps.values()])
        call = _recorded(args=[], kwargs=JsonText.of_members(state.arguments), steps=steps)
        _sample(out, chosen, _Answer("result", result, call))


def _shown(step: Step) -> JsonText:
    """Return a step as evaluators of a whole run see it."""
    return _recorded(name=step.name, kind=step.kind, status=step.status, arguments=step.arguments)


def _recorded(**members: Json) -> JsonText:
    """Return an object of values of the journal. Each of them could be written, and a few levels more can be too."""
    return JsonText(JsonText.of_members(members).text, checked=True)


def sample_reply(out: Decision, number: int, message: Json, reply: Json, sampling: Sampling) -> None:
    """Record that the reply to a session's message is to be rated, if it is sampled."""
    if (chosen := _chosen(sampling, f"{out.state.run_id}/{number}")) is not None:
        call = _recorded(args=JsonText.of_items([message]), kwargs={})
        _sample(out, chosen, _Answer(f"{number}:", reply, call, turn=number))


def _chosen(sampling: Sampling, subject: str) -> Sampling | None:
    """Return the evaluators that rate an answer; None if none does. One with a larger share rates what others rate."""
    evaluators = tuple(each for each in sampling.evaluators if is_sampled(subject, each.share))
    return sampling.model_copy(update={"evaluators": evaluators}) if evaluators else None


def _sample(out: Decision, sampling: Sampling, answer: _Answer) -> None:
    if (why := _too_long(answer.result, answer.arguments)) is not None:
        out.record(
            ev.AnswerRated(
                at=_moment(out),
                sample=answer.sample,
                key=answer.key,
                attempt=answer.attempt,
                turn=answer.turn,
                evaluations=tuple(_unrated(sampling, answer.threshold, why)),
            )
        )
        return
    out.record(
        ev.AnswerSampled(
            at=out.at,
            sample=answer.sample,
            key=answer.key,
            attempt=answer.attempt,
            turn=answer.turn,
            result=answer.result,
            arguments=answer.arguments,
            threshold=answer.threshold,
            sampling=sampling,
        )
    )
    out.then.append(do.RateAnswer(answer.sample))


def _too_long(result: Json, arguments: Json) -> str | None:
    """Return why an answer is too long for any worker; None if it is not."""
    size = len(text_of(result)) + len(text_of(arguments))
    if size > LONGEST_MESSAGE:
        return f"not rated: with its arguments it has {size} bytes as JSON, and {LONGEST_MESSAGE} are the most"
    return None


def _unrated(sampling: Sampling, threshold: float, why: str) -> Iterator[Evaluation]:
    """Yield an evaluation without a score for each evaluator."""
    for each in sampling.evaluators:
        options: EvaluatorOptions = each.options
        yield Evaluation(
            name=options.name or each.ref.rpartition(":")[2],
            score=None,
            passed=False,
            threshold=threshold if options.threshold is None else options.threshold,
            error=why,
            background=True,
        )


def judges_due(out: Decision, happened: inputs.RatingDue) -> None:
    """Let a judge of an answer be called, which costs money, unless a budget is used up or it has its scores."""
    if happened.sample not in out.state.sampled:
        return
    if out.judges_overdraft is not None:
        out.refused = BudgetUsedUp(f"not rated: {out.judges_overdraft.reason}")
    else:
        out.receipt = 1


def answer_rated(out: Decision, happened: inputs.AnswerRated) -> None:
    """Record what the evaluators of an answer have said, once."""
    answer = out.state.sampled.get(happened.sample)
    if answer is not None:
        out.record(
            ev.AnswerRated(
                at=_moment(out),
                sample=happened.sample,
                key=answer.key,
                attempt=answer.attempt,
                turn=answer.turn,
                evaluations=happened.evaluations,
            )
        )


def _moment(out: Decision) -> float:
    """Return the time of a score, which is never that of the run's end: readers see by it that something followed."""
    return math.nextafter(out.at, math.inf) if out.at == out.state.ended_at else out.at
