"""``LLM``: a language model as a step."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, TypedDict, TypeVar, Unpack, cast, overload

from greenroom.actors.agent.conversation import Conversation
from greenroom.actors.api.emit import check_channel
from greenroom.actors.context import ProgramPort, program
from greenroom.actors.definitions.definition_site import caller_site
from greenroom.actors.definitions.definitions import ModelDefinition
from greenroom.actors.models import Model, check_model
from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.json_text import JsonText
from greenroom.messages.core.message import Json, Shown
from greenroom.messages.core.other_names import refuse_options
from greenroom.messages.core.times import Seconds
from greenroom.messages.options.policy import OnEvaluatorError, OnReject, Retry
from greenroom.messages.transcript import ModelAnswer
from greenroom.workflows.authoring.agent_tools import agent_tools, check_tools
from greenroom.workflows.authoring.step import Call, Evaluators, Shares, Step, given_price, given_settings, step_options

if TYPE_CHECKING:
    from greenroom.actors.agent.loop import AskModel, ModelCall

T = TypeVar("T")


class LLMOptions(TypedDict, total=False):
    """Options of an ``LLM``.

    Attributes:
        model: The name of a model, such as ``openai:gpt-5`` or ``mock``, an object with the protocol ``Model``, or None
            for the value of ``GREENROOM_MODEL``, which is ``mock`` by default.
        instructions: What the model is told before every prompt.
        accept: Evaluators that must accept the answer.
        threshold: Lowest score with which an evaluator accepts it; 0.7 by default.
        on_reject: What to do with a rejected answer: ``"retry"`` feeds back the reasons, ``"flag"`` marks it and
            continues, ``"fail"`` ends the step, ``"escalate"`` waits for a person, who accepts it, replaces it or
            rejects it (``Orchestrator.decide``). The default is ``"retry"``.
        on_evaluator_error: What to do with an answer if an evaluator failed and no other rejected it: ``"reject"`` it,
            so that ``on_reject`` applies, ``"flag"`` it and continue, or ``"accept"`` it. The default is ``"reject"``
            with ``on_reject="fail"``, else ``"flag"``.
        sample: Evaluators that rate a share of the answers in the background, after they were used, such as
            ``{judge: 0.1}``. Their scores change nothing. Of an agent, they rate the final answer.
        retry: How often and when it is tried again.
        timeout: Seconds one attempt may take, 300 by default; None for no limit.
        settings: Passed to the model as they are, such as ``{"temperature": 0, "max_tokens": 500}``.
        tools: What the model may use before it answers, which makes the ``LLM`` an agent: functions with ``@tool`` or
            ``@workflow``, other LLMs, MCP servers. Each model call and each call of a tool is a step of its own.
        fallback: Models to ask when the first one has failed after all its attempts, in this order.
        max_turns: Most model calls of an agent before it must have answered; 20 by default.
        compact_at: Tokens from which on a conversation is replaced by a summary that the model writes. None, the
            default, for only where the model refuses the conversation as too long: then its older half is replaced.
        stream: Channel of the run's stream to which the text is emitted as it arrives, as items of kind ``"partial"``.
            The accepted answer follows once, as an item of kind ``"final"``; an attempt that is not accepted is
            followed by one of kind ``"discarded"``. None for no stream.
        price: US dollars per million input tokens and per million output tokens, for models whose price is not known.
    """

    model: str | Model | None
    instructions: str
    accept: Evaluators
    threshold: float
    on_reject: OnReject
    on_evaluator_error: OnEvaluatorError | None
    sample: Shares | None
    retry: Retry
    timeout: Seconds | None
    settings: Mapping[str, Shown]
    tools: Sequence[object] | object
    fallback: Sequence[str | Model]
    max_turns: int
    compact_at: int | None
    stream: str | None
    price: tuple[float, float] | None


class LLM(Step[[str], T], Generic[T]):
    """A language model as a step: it takes a prompt and returns a value of ``output``.

    With ``tools`` it is an agent. A failure of a tool, a time-out or a crash included, is told to the model, which may
    try something else.
    """

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
            DefinitionError: An option has an invalid value, or the model's name is not known.
            TypeError: There is no such option.

        Calling an agent raises ``AgentFailed`` if it goes round in circles or does not answer within ``max_turns``.
        """
        known = LLMOptions.__annotations__.keys()
        refuse_options("LLM", options.keys() - known, known, name)
        title = f"LLM `{name}`"
        given: dict[str, Any] = {**options}
        model, instructions = given.pop("model", None), given.pop("instructions", "")
        if not isinstance(instructions, str):
            msg = f"{title} has instructions={instructions!r:.100}: they are a text; put what differs into the prompt"
            raise DefinitionError(msg)
        accept, sample, settings = given.pop("accept", ()), given.pop("sample", None), given.pop("settings", None)
        fallback = _models(given.pop("fallback", ()))
        for each in (model, *fallback):
            check_model(each, title)
        self._tools = check_tools(title, given.pop("tools", ()))
        self._max_turns = _at_least_one(title, "max_turns", given.pop("max_turns", MAX_TURNS))
        self._compact_at = _at_least_one(title, "compact_at", given.pop("compact_at", None))
        _check_stream(given.get("stream"), title)
        price = given_price(title, given.pop("price", None))

        async def ask(prompt: str) -> Any:
            from greenroom.actors.worker.models.prompt import ask_in_place  # noqa: PLC0415  for workers, and for calls in place

            return await ask_in_place(definition, _text_of(definition, prompt))

        definition = ModelDefinition(
            name,
            ask,
            caller_site(f"LLM.{name}"),
            step_options(title, given, accept, sample),
            output=output,
            instructions=instructions,
            models=(model, *fallback),
            settings=given_settings(title, settings),
            price=price,
        )
        super().__init__(definition, accept, sample)
        self.__name__ = name
        self.__doc__ = instructions or None

    def __call__(self, prompt: str, *, history: Conversation | None = None) -> Call[T]:
        """Prompt the model; nothing runs before the coroutine is awaited or made a task.

        Args:
            prompt: The prompt.
            history: What was said before. The prompt, all calls of tools and the answer are added to it.
        """
        if history is None and not self._tools and len(self._definition.models) == 1:
            return super().__call__(prompt)
        self._definition.signature.check((prompt,), {})
        coroutine: Any = self._converse(prompt, history)
        coroutine.__qualname__ = self.name
        return cast("Call[T]", coroutine)

    @property
    def _definition(self) -> ModelDefinition:
        definition = self.definition
        assert isinstance(definition, ModelDefinition)
        return definition

    async def _converse(self, prompt: str, history: Conversation | None) -> T:
        """Run the loop of an agent. For a conversation without tools it ends with the first answer."""
        from greenroom.actors.agent.loop import Agent, in_scope  # noqa: PLC0415  for workers, and for calls in place

        definition = self._definition
        text = _text_of(definition, prompt)
        port = program.get()

        async def ask_all() -> Json:
            agent = Agent(
                self.name,
                await agent_tools(self._tools, definition.title),
                self._ask_in_place(history) if port is None else self._ask_by_step(port),
                models=len(definition.models),
                max_turns=self._max_turns,
                compact_at=self._compact_at,
                in_place=port is None,
            )
            return await agent.run(text, history)

        return cast("T", definition.decode_result(await in_scope(self.name, self._key, ask_all)))

    def _ask_by_step(self, port: ProgramPort) -> "AskModel":
        """Return what asks a model by a step of the run."""
        from greenroom.actors.agent.compaction import WHOLE  # noqa: PLC0415  see above
        from greenroom.messages.transcript import read_answer  # noqa: PLC0415  see above

        async def ask(call: "ModelCall") -> ModelAnswer:
            use = call.transcript.use()
            how: dict[str, Json] = {"transcript": use.tip}
            if call.model:
                how["model"] = call.model
            if call.summary:
                how["summary"] = True
            if call.percent != WHOLE:
                how["percent"] = call.percent
            options = self._definition.call_options(self._checked, call.model)
            result = await port.call_step(
                name="summary" if call.summary else "model",
                kind="llm",
                step=self.definition.ref,
                arguments=JsonText.of_members(how),
                options=options.model_copy(update=_FOR_SUMMARIES) if call.summary else options,
                key=None,
                transcript=use,
            )
            return read_answer(result)

        return ask

    def _ask_in_place(self, history: Conversation | None) -> "AskModel":
        """Return what asks a model in this process."""
        from greenroom.actors.worker.models.conversation import asker_in_place  # noqa: PLC0415  see above

        return asker_in_place(self._definition, history)


MAX_TURNS: Final = 20
"""Most model calls of an agent by default."""
_FOR_SUMMARIES: Final[dict[str, Any]] = {"accept": (), "accept_timeouts": (), "sample": None, "stream": None}
"""What differs in the options of a step that summarises a conversation: nobody judges or reads it."""


def _models(fallback: object) -> tuple[Any, ...]:
    return tuple(cast("Sequence[Any]", fallback)) if isinstance(fallback, (list, tuple)) else (fallback,)


def _at_least_one(title: str, name: str, value: object) -> Any:
    """Return a number above 0, or None.

    Raises:
        DefinitionError: It is neither.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    msg = f"{title} has {name}={value!r}: it is a number of at least 1"
    raise DefinitionError(msg)


def _check_stream(channel: object, title: str) -> None:
    """Check the channel of a model's text.

    Raises:
        DefinitionError: It is not the name of a channel.
    """
    if channel is not None:
        try:
            check_channel(channel)
        except (TypeError, ValueError) as error:
            msg = f"the stream of {title} cannot be: {error}"
            raise DefinitionError(msg) from error


def _text_of(definition: ModelDefinition, prompt: str) -> str:
    """Return a prompt as the step of a model would be given it.

    Raises:
        NotSerializable: It is no text.
    """
    form = definition.signature.forms["prompt"]
    text: str = form.read(form.encode(prompt))
    return text
