"""The evaluator actor: judges results, and distinguishes a failing evaluator from a bad result."""

import asyncio
import time

from typing_extensions import override

from greenroom.actors.api.step_context import StepContext, running
from greenroom.actors.definitions.definitions import StepDefinition
from greenroom.actors.definitions.registry import lookup
from greenroom.actors.values.conversion import as_score
from greenroom.actors.worker.tool import ToolActor
from greenroom.messages.core.failures import Failure
from greenroom.messages.core.json_text import plain
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import Evaluate, Execute, Judged, ToWorker
from greenroom.messages.records.evaluation import Score


class EvaluatorActor(ToolActor):
    """Judges results of other steps, and runs evaluators that a workflow awaits directly."""

    @override
    def perform(self, message: ToWorker) -> None:
        """Judge one result and answer it."""
        if isinstance(message, Execute):
            super().perform(message)
            return
        assert isinstance(message, Evaluate), f"an evaluator worker was sent {message.type}"
        token = message.token
        started = time.perf_counter()

        def broken(failure: Failure) -> Judged:
            return Judged(token=token, score=None, failure=failure, duration=time.perf_counter() - started)

        running.set(StepContext(message.run_id, message.key, message.attempt, token, token, None, self.channel.send))
        try:
            score = self._judge(message)
        except asyncio.CancelledError:
            if not self.inbox.aborted(token):
                raise
            answer = broken(Failure(outcome="cancelled", message="the evaluation was aborted"))
        except Exception as error:  # noqa: BLE001  any failure of user code leaves the result unjudged
            answer = broken(self.failure(error))
        else:
            answer = Judged(
                token=token,
                score=score.value,
                reason=score.reason,
                label=score.label,
                duration=time.perf_counter() - started,
            )
        self.answer(answer, broken)

    def _judge(self, message: Evaluate) -> Score:
        definition = lookup(message.evaluator)
        assert isinstance(definition, StepDefinition), f"{definition.title} is not a step"
        form = next(iter(definition.signature.forms.values()))
        args = [form.decode(message.subject), plain(message.arguments)][: len(definition.signature.parameters)]
        return as_score(self.call(message.token, definition.fn, args, {}))

    @override
    def encode(self, definition: StepDefinition, value: object) -> Json:
        """Return an evaluator's result as the JSON of a score."""
        return super().encode(definition, as_score(value))
