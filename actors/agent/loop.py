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
from greenroom.messages.core.errors import AgentFailed, GreenroomError, StepFailed
from greenroom.messages.core.json_text import plain
from greenroom.messages.core.message import Json
from greenroom.messages.transcript import ModelAnswer, ToolCall, ToolList, ToolMessage, UserMessage

_SUMMARISE: Final = (
    "Summarise this conversation so that you can go on with nothing but the summary: the task, what the user has said "
    "that still matters, what was found and done, with all names, numbers and identifiers, and what is left to do."
)
_SUMMARY: Final = "What was said and done so far, as you have summarised it yourself:\n\n"
_REPEATED: Final = (
    "You have made the same calls with the same arguments and the same results {count} times. Do something else, or "
    "answer with what you have."
)
_LABEL: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class ModelCall:
    """What the loop asks of a model.

    Attributes:
        transcript: The conversation.
        model: Which of the agent's models: 0 for the first, 1 for the first fallback.
        summary: Whether the model is to summarise the conversation, and may not use tools.
    """

    transcript: Transcript
    model: int = 0
    summary: bool = False


class AskModel(Protocol):
    """Asks a model, as a step of the run or in place."""

    async def __call__(self, call: ModelCall) -> ModelAnswer:
        """Return the answer.

        Raises:
            StepFailed: The model gave none, after all attempts.
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
        compact_at: Length of a conversation, in tokens, from which on it is summarised; None for never.
        repair: Whether failures of tools of any class become text for the model, as where tools run in place.
    """

    name: str
    tools: Sequence[AgentTool]
    ask: AskModel
    models: int = 1
    max_turns: int = 20
    compact_at: int | None = None
    repair: bool = False
    _by_name: dict[str, AgentTool] = field(init=False)
    _model: int = field(default=0, init=False)
    _calls: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]], init=False)
    """Tool, arguments and result of each call so far."""
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
        if history.tip and self._too_long(tokens):
            transcript, tokens = await self._compact(transcript), 0
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
                transcript = await self._compact(transcript)
        msg = (
            f"agent `{self.name}` has not answered after {self.max_turns} model calls: raise max_turns, or give it a "
            f"smaller task"
        )
        raise AgentFailed(msg, agent=self.name, reason="turns")

    async def _ask(self, transcript: Transcript, *, summary: bool = False) -> ModelAnswer:
        """Ask the present model, and the next ones if it fails."""
        while True:
            try:
                return await self.ask(ModelCall(transcript, self._model, summary))
            except StepFailed:
                if self._model + 1 >= self.models:
                    raise
                self._model += 1

    # ------------------------------------------------------------ tools

    async def _use_tools(self, transcript: Transcript, calls: Sequence[ToolCall]) -> None:
        """Call tools, all at once, and add their results in the order of the calls."""
        place = scope.get()
        if len(calls) == 1:
            results = [await self._call(calls[0], _label(calls[0], 0))]
        else:
            jobs = [_within(place, self._call(call, _label(call, index))) for index, call in enumerate(calls)]
            results = await asyncio.gather(*jobs)
        for result, call in zip(results, calls, strict=True):
            transcript.add(result)
            self._calls.append((call.name, call.arguments, result.text))
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
        if tool.asks_approval(arguments):
            approval = await approve(
                f"agent `{self.name}` calls {call.name}", {name: plain(each) for name, each in arguments.items()}
            )
            if approval.decision == "reject":
                why = f": {approval.comment}" if approval.comment else ""
                return _failed(call, f"a person has refused this call{why}")
            if approval.decision == "edit":
                try:
                    arguments = tool.read(_members(approval.args))
                except Exception as error:  # noqa: BLE001  the person's arguments do not fit
                    return _failed(call, f"a person has changed the arguments, and they do not fit: {error}")
        try:
            result = await tool.call(label, arguments)
        except Exception as error:
            if not (self.repair or isinstance(error, GreenroomError)):  # a fault of the program's own code
                raise
            return _failed(call, failure_text(error))
        return ToolMessage(call=call.id, name=call.name, text=result_text(result))

    # ------------------------------------------------------------ compaction

    def _too_long(self, tokens: int) -> bool:
        return self.compact_at is not None and tokens >= self.compact_at

    async def _compact(self, transcript: Transcript) -> Transcript:
        """Return a transcript that begins with the model's summary of another one."""
        transcript.add(UserMessage(text=_SUMMARISE))
        answer = await self._ask(transcript, summary=True)
        shorter = Transcript()
        shorter.add(self._tool_list)
        shorter.add(UserMessage(text=_SUMMARY + answer.message.text))
        return shorter

    def _fingerprint(self) -> str:
        if not self.tools:
            return ""
        return blake2b(self._tool_list.model_dump_json().encode(), digest_size=8).hexdigest()


def _failed(call: ToolCall, text: str) -> ToolMessage:
    return ToolMessage(call=call.id, name=call.name, text=text, failed=True)


def _label(call: ToolCall, index: int) -> str:
    """Return a label for a call, for keys: its own id, unless the provider gave it a strange one."""
    return call.id if _LABEL.fullmatch(call.id) else str(index + 1)


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
