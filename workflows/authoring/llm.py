"""``LLM``: a language model as a step."""

from collections.abc import Mapping
from typing import Any, Generic, TypedDict, TypeVar, Unpack, overload

from greenroom.actors.definitions.definition_site import caller_site
from greenroom.actors.definitions.definitions import ModelDefinition
from greenroom.actors.models import Model, check_model
from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.message import Shown
from greenroom.messages.core.times import Seconds
from greenroom.messages.policy import OnEvaluatorError, OnReject, Price, Retry
from greenroom.workflows.authoring.step import Call, Evaluators, Step, step_options

T = TypeVar("T")


class LLMOptions(TypedDict, total=False):
    """Options of an ``LLM``.

    Attributes:
        model: A provider string, a ``MockModel``, or None for the value of ``GREENROOM_MODEL`` (``"mock"``).
        instructions: What the model is told before every prompt.
        accept: Evaluators that must accept the answer.
        threshold: Lowest score with which an evaluator accepts it; 0.7 by default.
        on_reject: What to do with a rejected answer: ``"retry"`` feeds back the reasons, ``"flag"`` marks it and
            continues, ``"fail"`` ends the step, ``"escalate"`` waits for a person, who accepts it, replaces it or
            rejects it (``Orchestrator.decide``). The default is ``"retry"``.
        on_evaluator_error: What to do with an answer if an evaluator failed and no other rejected it: ``"reject"`` it,
            so that ``on_reject`` applies, ``"flag"`` it and continue, or ``"accept"`` it. The default is ``"reject"``
            with ``on_reject="fail"``, else ``"flag"``.
        retry: How often and when it is tried again.
        timeout: Seconds one attempt may take, 300 by default; None for no limit.
        settings: Passed to the model as they are. ``max_tokens`` among them is the most output tokens of one answer.
        price: US dollars per million input tokens and per million output tokens, for models whose price is not known.
    """

    model: str | Model | None
    instructions: str
    accept: Evaluators
    threshold: float
    on_reject: OnReject
    on_evaluator_error: OnEvaluatorError | None
    retry: Retry
    timeout: Seconds | None
    settings: Mapping[str, Shown]
    price: tuple[float, float] | None


class LLM(Step[[str], T], Generic[T]):
    """A language model as a step: it takes a prompt and returns a value of ``output``."""

    @overload
    def __init__(self: "LLM[str]", name: str, **options: Unpack[LLMOptions]) -> None: ...
    @overload
    def __init__(self, name: str, *, output: type[T], **options: Unpack[LLMOptions]) -> None: ...
    @overload
    def __init__(self: "LLM[Any]", name: str, *, output: object, **options: Unpack[LLMOptions]) -> None: ...
    def __init__(self, name: str, *, output: Any = str, **options: Unpack[LLMOptions]) -> None:
        """Make the step; like a decorated function it belongs at the top level of a file.

        Args:
            name: Name of the step.
            output: Type of the answer: ``str`` for plain text; an answer of any other type is requested and checked as
                JSON.
            options: See ``LLMOptions``.

        Raises:
            DefinitionError: An option has an invalid value, or there is no such model.
            TypeError: There is no such option.
        """
        for unknown in options.keys() - LLMOptions.__annotations__.keys():
            msg = f"LLM() got an unexpected keyword argument {unknown!r}"
            raise TypeError(msg)
        title = f"LLM `{name}`"
        given: dict[str, Any] = {**options}
        model, instructions = given.pop("model", None), given.pop("instructions", "")
        accept, settings = given.pop("accept", ()), given.pop("settings", None)
        check_model(model, title)
        try:
            price = Price.of(given.pop("price", None))
        except ValueError as error:
            msg = f"{title} has a wrong price: {error}"
            raise DefinitionError(msg) from error

        async def ask(prompt: str) -> Any:
            from greenroom.actors.worker.prompt import ask_in_place  # noqa: PLC0415  for workers, and for calls in place

            return await ask_in_place(definition, prompt)

        definition = ModelDefinition(
            name,
            ask,
            caller_site(f"LLM.{name}"),
            step_options(title, given, accept),
            output=output,
            instructions=instructions,
            model=model,
            settings=dict(settings or {}),
            price=price,
        )
        super().__init__(definition, accept)
        self.__name__ = name
        self.__doc__ = instructions or None

    def __call__(self, prompt: str) -> Call[T]:
        """Prompt the model; nothing runs before the coroutine is awaited or made a task."""
        return super().__call__(prompt)
