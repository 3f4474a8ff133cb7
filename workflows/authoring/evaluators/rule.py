"""``Rule``: ready-made evaluators without a model."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from pydantic import TypeAdapter, ValidationError
from typing_extensions import override

from greenroom.actors.evaluation import rules
from greenroom.actors.evaluation.rules import AnyRule
from greenroom.actors.values.conversion import faults, sentence
from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.options.policy import EvaluatorOptions
from greenroom.messages.records.evaluation import Score
from greenroom.workflows.authoring.evaluators.evaluation_run import provide
from greenroom.workflows.authoring.step import Call, Step

_MISSING: Final = object()
_ANY: Final[TypeAdapter[Any]] = TypeAdapter(Any)


class Rule(Step[..., Score]):
    """An evaluator that checks one simple thing about a result: its score is 1.0 or 0.0.

    Make it with one of the methods of the class. ``at`` names a part of the result, such as ``"items.0.title"``. Use it
    in ``accept=[...]``, as a member of a ``Panel`` or with ``greenroom eval``, or await it in a workflow. It runs in an
    evaluator process, as functions with ``@evaluator`` do.
    """

    def __init__(self, rule: AnyRule, name: str) -> None:
        """Wrap a rule; the methods of the class make rules."""
        super().__init__(rules.DEFINITION)
        self.rule = rule
        self.name = name
        self.__name__ = name
        provide()

    @classmethod
    def contains(cls, *texts: str, ignore_case: bool = False, at: str = "", name: str | None = None) -> Self:
        """Return the rule that every one of the texts occurs in the result.

        Raises:
            DefinitionError: There is no text, or one is not a string. The other methods raise it likewise.
        """
        given = {"rule": "contains", "texts": texts, "ignore_case": ignore_case, "at": at}
        return cls._of(given, name or f"contains {_words(texts)}")

    @classmethod
    def excludes(cls, *texts: str, ignore_case: bool = False, at: str = "", name: str | None = None) -> Self:
        """Return the rule that none of the texts occurs in the result."""
        given = {"rule": "contains", "texts": texts, "absent": True, "ignore_case": ignore_case, "at": at}
        return cls._of(given, name or f"excludes {_words(texts)}")

    @classmethod
    def equals(cls, value: Any = _MISSING, *, at: str = "", name: str | None = None) -> Self:
        """Return the rule that the result is ``value``, or without one the expected output of its case."""
        if value is _MISSING:
            return cls._of({"rule": "equals", "at": at}, name or "equals expected")
        text = json.dumps(_ANY.dump_python(value, mode="json"), ensure_ascii=False)
        return cls._of({"rule": "equals", "value": text, "at": at}, name or f"equals {text:.40}")

    @classmethod
    def matches(cls, pattern: str, *, at: str = "", name: str | None = None) -> Self:
        """Return the rule that a regular expression is found somewhere in the result."""
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            msg = f"the pattern of Rule.matches is not a regular expression: {error}"
            raise DefinitionError(msg) from None
        return cls._of({"rule": "matches", "pattern": pattern, "at": at}, name or f"matches {pattern:.40}")

    @classmethod
    def length(cls, least: int = 0, most: int | None = None, *, at: str = "", name: str | None = None) -> Self:
        """Return the rule that a text has so many characters, a list so many items, an object so many fields."""
        bounds = f"{least} to {'any' if most is None else most}"
        return cls._of({"rule": "length", "least": least, "most": most, "at": at}, name or f"length {bounds}")

    @classmethod
    def calls(
        cls,
        *names: str,
        ordered: bool = False,
        never: Sequence[str] = (),
        most: int | None = None,
        most_of: Mapping[str, int] | None = None,
        name: str | None = None,
    ) -> Self:
        """Return the rule that a whole run has called certain steps. For ``greenroom eval``.

        Args:
            names: Names of steps that were called, each at least as often as it is named here.
            ordered: Whether they were called in this order; others may have been called between them.
            never: Names of steps that were not called.
            most: Most calls of any steps together.
            most_of: Most calls of single steps, by name.
            name: Name of the rule.
        """
        given = {"rule": "calls", "names": names, "ordered": ordered, "never": tuple(never), "most": most}
        return cls._of({**given, "most_of": dict(most_of or {})}, name or f"calls {' > '.join(names) or 'of steps'}")

    @classmethod
    def _of(cls, given: Mapping[str, Any], name: str) -> Self:
        try:
            return cls(rules.RULES.validate_python(given), name)
        except ValidationError as error:
            msg = f"Rule.{given['rule']} cannot be made: {sentence(faults(error))}"
            raise DefinitionError(msg) from None

    def __call__(self, result: Any, call: Any = None) -> Call[Score]:
        """Check a result; nothing runs before the coroutine is awaited or made a task.

        Raises:
            EvaluatorFailure: When awaited: ``call`` does not hold the expected output, or the steps of a run.
        """
        return super().__call__(result, call, rule=self.rule.model_dump_json())

    @override
    def evaluator_options(self) -> EvaluatorOptions:
        """Return how it is asked as an evaluator of other steps."""
        return EvaluatorOptions(name=self.name, rule=self.rule.model_dump_json())

    @override
    def accept_fault(self) -> str:
        """Return why it cannot evaluate the results of a step; empty if it can."""
        if isinstance(self.rule, rules.Calls):
            return f"cannot take the rule `{self.name}`: only evaluations of runs know the steps of a whole run"
        if isinstance(self.rule, rules.Equals) and self.rule.value is None:
            return f"cannot take the rule `{self.name}`: only the cases of an evaluation have an expected output"
        return ""


def _words(texts: Sequence[object]) -> str:
    return ", ".join(repr(each)[:30] for each in texts[:3])
