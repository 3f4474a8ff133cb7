"""``Person``: a person as a judge."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from greenroom.actors.api.approve import approve
from greenroom.actors.values.conversion import AnyJson
from greenroom.messages.core.errors import DefinitionError, EvaluatorFailure
from greenroom.messages.core.other_names import with_hints
from greenroom.messages.core.times import Seconds
from greenroom.messages.records.evaluation import Score


class Judgement(BaseModel):
    """What a person is asked, and may answer with."""

    model_config = ConfigDict(extra="forbid")

    result: AnyJson = None
    call: AnyJson = None
    score: float = Field(default=1.0, ge=0.0, le=1.0)


@with_hints
class Person:
    """A person who rates results, through an approval. Await it in a workflow: ``score = await editor(result)``.

    ``greenroom approvals`` shows the question until it is answered. To approve gives 1.0 and to reject 0.0. An edit
    gives its ``score``, such as ``{"score": 0.4}``; the rest of the arguments may be left out. The comment is the
    reason, and the person's name the label.

    For results of a step, ``on_reject="escalate"`` asks a person about those that evaluators have rejected.
    """

    def __init__(self, name: str, *, question: str, timeout: Seconds | None = None) -> None:
        """Make the judge.

        Args:
            name: Name of the judge, shown with the question.
            question: What the person has to decide.
            timeout: Longest wait in seconds; None for no limit.

        Raises:
            DefinitionError: There is no question.
        """
        if not question.strip():
            msg = f"person `{name}` needs a question"
            raise DefinitionError(msg)
        self.name = name
        self._question = question
        self._timeout = timeout

    async def __call__(self, result: Any, call: Any = None) -> Score:
        """Ask the person about a result, and wait for the answer.

        Raises:
            EvaluatorFailure: There was no answer in time.
            RuntimeError: The caller does not run in a workflow.
        """
        try:
            said = await approve(f"{self.name}: {self._question}", Judgement(result=result, call=call), self._timeout)
        except TimeoutError as error:
            msg = f"{self.name} gave no answer in time"
            raise EvaluatorFailure(msg, step=self.name, outcome="timeout") from error
        given = Judgement.model_validate(said.args).score if said.decision == "edit" else 1.0
        return Score(0.0 if said.decision == "reject" else given, said.comment, said.by or None)
