"""The loop of an agent: ask the model, call the tools that it asks for, and again, until it answers.

It runs in the program. The supervisor needs to know nothing of agents: it sees steps, whose keys begin with the agent's
own key, ``writer#1/model#1`` and ``writer#1/search[call_7]#1``.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, Protocol, cast

from greenroom.actors.agent.compaction import HALF, SUMMARISE, WHOLE, compact
from greenroom.actors.agent.conversation import Conversation
from greenroom.actors.agent.loop_detection import STOPPED_AT, TOLD_AT, rounds
from greenroom.actors.agent.tool import (
    AgentTool,
    BadCall,
    failure_text,
    read_arguments,
    result_text,
    unknown_tool,
)
from greenroom.actors.agent.transcript import Transcript
from greenroom.actors.api.approve import approve
from greenroom.actors.program.scope import Scope, scope
from greenroom.messages.core.errors import AgentFailed, ContextTooLong, GreenroomError, StepFailed
from greenroom.messages.core.frozen import frozen
from greenroom.messages.core.json_text import plain
from greenroom.messages.core.message import Json
from greenroom.messages.transcript import ModelAnswer, ToolCall, ToolList, ToolMessage, UserMessage

_REPEATED: Final = (
    "You have made the same calls with the same arguments and the same results {count} times. Do something else, or "
    "answer with what you have."
)
_STILL_TOO_LONG: Final = (
    "agent `{name}` has had what was said before summarised, and the rest is still too long: shorten the prompt or the "
    "results of its tools, or give it a model or a fallback that reads more"
)
_CANNOT_SHORTEN: Final = (
    "agent `{name}` cannot make the conversation shorter by a summary of what was said before: shorten the prompt or "
    "the results of its tools, or give it a model or a fallback that reads more"
)
_LABEL: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@frozen
class ModelCall:
    """What the loop asks of a model.

    Attributes:
        transcript: The conversation.
        model: Which of the agent's models: 0 for the first, 1 for the first fallback.
        summary: Whether the model is to summarise the conversation, and may not use tools.
        percent: How much of it a summary is about: the oldest part, as a percentage of the characters.
    """

    transcript: Transcript
    model: int = 0
    summary: bool = False
    percent: int = WHOLE


class AskModel(Protocol):
    """Asks a model, as a step of the run or in place."""

    async def __call__(self, call: ModelCall) -> ModelAnswer:
        """Return the answer.

        Raises:
            StepFailed: The model gave none, after all attempts.
            Exception: The same outside a run, where the model's own exception is raised.
        """
        ...


@dataclass(slots=True)
class Agent:
    """One call of an agent. Used once.

    Attributes:
        name: Name of the agent.
        tools: Its tools.
        ask: Asks one of its models.
        models: Number of models: the first, and those to fall back to.
        max_turns: Most model calls before it must have answered.
        compact_at: Length of a conversation, in tokens, from which on it is summarised; None for only where a model
            refuses it as too long.
        in_place: Whether models and tools run in this process, so that their failures may be of any class.
    """

    name: str
    tools: Sequence[AgentTool]
    ask: AskModel
    models: int = 1
    max_turns: int = 20
    compact_at: int | None = None
    in_place: bool = False
    _by_name: dict[str, AgentTool] = field(init=False)
    _model: int = field(default=0, init=False)
    _calls: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]], init=False)
    """Tool, arguments and result of each call so far. A failure stands without the label that is in the step's key."""
    _tool_list: ToolList = field(init=False)

    def __post_init__(self) -> None:
        """Describe the tools for the model."""
        self._by_name = {tool.schema.name: tool for tool in self.tools}
        self._tool_list = ToolList(tools=tuple(tool.schema for tool in self.tools))

    async def run(self, prompt: str, history: Conversation | None) -> Json:
        """Return the model's answer, as JSON. Add to the history what was said.

        Raises:
            AgentFailed: It went round in circles, or did not answer within ``max_turns``.
            StepFailed: No model answered.
        """
        history = Conversation() if history is None else history
        tokens, tools = history.tokens, self._fingerprint()
        transcript = Transcript(history.tip)
        if history.tip and self._too_long(tokens) and await self._compact(transcript, WHOLE):
            tokens = 0
        elif tools != history.tools:
            transcript.add(self._tool_list)
        transcript.add(UserMessage(text=prompt))
        for _ in range(self.max_turns):
            answer = await self._ask(transcript)
            transcript.answered(answer)
            tokens = answer.tokens
            if answer.final:
                history.tip, history.tokens, history.tools = transcript.tip, tokens, tools
                return answer.answer
            await self._use_tools(transcript, answer.message.calls)
            if self._too_long(tokens):
                await self._compact(transcript, WHOLE)
        msg = (
            f"agent `{self.name}` has not answered after {self.max_turns} model calls: raise max_turns, or give it a "
            f"smaller task"
        )
        raise AgentFailed(msg, agent=self.name, reason="turns")

    async def _ask(self, transcript: Transcript) -> ModelAnswer:
        """Ask the present model, and the next ones if it fails.

        If one refuses the conversation as too long, that is made shorter, once, and the same model is asked again.
        """
        shorter: bool | None = None
        while True:
            try:
                return await self.ask(ModelCall(transcript, self._model))
            except Exception as error:
                if isinstance(error, ContextTooLong):
                    if shorter is None:
                        shorter = transcript.has_past and await self._compact(transcript, HALF)
                        if shorter:
                            continue
                    error.add_note((_STILL_TOO_LONG if shorter else _CANNOT_SHORTEN).format(name=self.name))
                if not self._fall_back(error):
                    raise

    def _fall_back(self, error: Exception) -> bool:
        """Go on to the next model after a failure of the present one. Return False if there is none."""
        if not (self.in_place or isinstance(error, StepFailed)) or self._model + 1 >= self.models:
            return False
        self._model += 1
        return True

    # ------------------------------------------------------------ tools

    async def _use_tools(self, transcript: Transcript, calls: Sequence[ToolCall]) -> None:
        """Call tools, all at once, and add their results in the order of the calls."""
        place = scope.get()
        labels = [_label(call, index) for index, call in enumerate(calls)]
        if len(calls) == 1:
            results = [await self._call(calls[0], labels[0])]
        else:
            jobs = [_within(place, self._call(call, label)) for call, label in zip(calls, labels, strict=True)]
            results = await asyncio.gather(*jobs)
        for result, call, label in zip(results, calls, labels, strict=True):
            transcript.add(result)
            told = _without_label(result.text, label) if result.failed else result.text
            self._calls.append((call.name, call.arguments, told))
        count = rounds(self._calls)
        if count >= STOPPED_AT:
            msg = (
                f"agent `{self.name}` goes round in circles: it has made the same calls, the last of them "
                f"{calls[-1].name}({calls[-1].arguments:.200}), with the same results {count} times"
            )
            raise AgentFailed(msg, agent=self.name, reason="loop")
        if count >= TOLD_AT:
            transcript.add(UserMessage(text=_REPEATED.format(count=count)))

    async def _call(self, call: ToolCall, label: str) -> ToolMessage:
        """Call one tool. Whatever goes wrong is text for the model."""
        tool = self._by_name.get(call.name)
        if tool is None:
            return _failed(call, unknown_tool(call.name, list(self._by_name)))
        try:
            arguments = read_arguments(tool, call)
        except BadCall as error:
            return _failed(call, str(error))
        changed = ""
        if tool.asks_approval(arguments):
            approval = await approve(
                f"agent `{self.name}` calls {call.name}", {name: plain(each) for name, each in arguments.items()}
            )
            why = f": {approval.comment}" if approval.comment else ""
            if approval.decision == "reject":
                return _failed(call, f"a person has refused this call{why}")
            if approval.decision == "edit":
                try:
                    arguments = tool.read(_members(approval.args))
                except Exception as error:  # noqa: BLE001  the person's arguments do not fit
                    return _failed(call, f"a person has changed the arguments, and they do not fit: {error}")
                changed = f"a person has changed the arguments of this call to {result_text(approval.args)}{why}\n\n"
        try:
            result = await tool.call(label, arguments)
        except Exception as error:
            if not (self.in_place or isinstance(error, GreenroomError)):  # a fault of the program's own code
                raise
            return _failed(call, changed + failure_text(error))
        return ToolMessage(call=call.id, name=call.name, text=changed + result_text(result))

    # ------------------------------------------------------------ compaction

    def _too_long(self, tokens: int) -> bool:
        return self.compact_at is not None and tokens >= self.compact_at

    async def _compact(self, transcript: Transcript, percent: int) -> bool:
        """Have the oldest part of a transcript summarised; see ``compact``."""

        async def summarise(percent: int) -> ModelAnswer:
            end = transcript.tip
            if percent == WHOLE:
                transcript.add(UserMessage(text=SUMMARISE))
            while True:
                try:
                    return await self.ask(ModelCall(transcript, self._model, summary=True, percent=percent))
                except Exception as error:
                    if isinstance(error, ContextTooLong):
                        transcript.tip = end
                        raise
                    if not self._fall_back(error):
                        raise

        return await compact(transcript, self._tool_list, summarise, percent)

    def _fingerprint(self) -> str:
        if not self.tools:
            return ""
        return blake2b(self._tool_list.model_dump_json().encode(), digest_size=8).hexdigest()


def _failed(call: ToolCall, text: str) -> ToolMessage:
    return ToolMessage(call=call.id, name=call.name, text=text, failed=True)


def _label(call: ToolCall, index: int) -> str:
    """Return a label for a call, for keys: its own id, unless the provider gave it a strange one."""
    return call.id if _LABEL.fullmatch(call.id) else str(index + 1)


def _without_label(text: str, label: str) -> str:
    """Return what is told of a failure without what tells the keys of steps of one call from those of another."""
    return re.sub(rf"\[{re.escape(label)}\]#\d+", "", text)


def _members(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


async def _within(place: Scope | None, job: Coroutine[Any, Any, ToolMessage]) -> ToolMessage:
    """Run a task with the agent's own scope, so that keys name the call and not the task."""
    if place is not None:
        scope.set(place)
    return await job


async def in_scope(name: str, label: str | None, job: Callable[[], Coroutine[Any, Any, Json]]) -> Json:
    """Run a call's steps with keys below the key of the call; outside a program, just run it."""
    place = scope.get()
    if place is None:
        return await job()
    token = scope.set(place.nested(name, label))
    try:
        return await job()
    finally:
        scope.reset(token)
