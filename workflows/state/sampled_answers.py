"""Events about answers that are rated in the background, applied to a run's state."""

from typing import Final

from greenroom.messages.events import events as ev
from greenroom.workflows.state.handlers import handler
from greenroom.workflows.state.run_state import RunState, SampledAnswer


def _answer_sampled(state: RunState, event: ev.AnswerSampled) -> None:
    seq = state.seq + 1
    state.sampled[event.sample] = SampledAnswer(seq, event.key, event.attempt, event.turn)
    state.mark_changes.append(("sampled", event.sample, seq))


def _answer_rated(state: RunState, event: ev.AnswerRated) -> None:
    if state.sampled.pop(event.sample, None) is not None:
        state.mark_changes.append(("sampled", event.sample, None))
    if not event.key and not event.turn:
        state.evaluations.extend(event.evaluations)
    step = state.steps.get(event.key)
    over = 0 < event.turn <= state.turns  # of a turn that is over, the state of a session holds nothing
    if step is not None and not over and event.attempt <= len(step.attempts):
        step.evaluations.extend(event.evaluations)


HANDLERS: Final = (handler(ev.AnswerSampled, _answer_sampled), handler(ev.AnswerRated, _answer_rated))
