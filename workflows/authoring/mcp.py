"""``mcp``: a server of the Model Context Protocol, whose tools are called as steps."""

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from os import PathLike, fspath
from typing import Any, Final, TypeAlias, cast
from weakref import WeakKeyDictionary

from greenroom.actors.api.approve import approve
from greenroom.actors.context import ProgramPort, program
from greenroom.actors.definitions.definition_site import caller_site
from greenroom.actors.mcp.definition import McpDefinition
from greenroom.actors.mcp.questions import answer, question, questions_of
from greenroom.actors.worker import tool_fakes
from greenroom.messages.core import times
from greenroom.messages.core.errors import DefinitionError, Fatal, OutcomeUnknown
from greenroom.messages.core.frozen import frozen
from greenroom.messages.core.json_text import plain
from greenroom.messages.core.message import Json
from greenroom.messages.core.other_names import with_hints
from greenroom.messages.core.times import Seconds
from greenroom.messages.frames.worker import POOL_OF_SERVERS
from greenroom.messages.options.policy import Retry, StepOptions
from greenroom.messages.transcript import ToolSchema
from greenroom.workflows.authoring.step import DEFAULT_RETRY, Call, step_options

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_ROUNDS: Final = 20
"""Most times that one call asks questions."""
_MARGIN: Final = 5.0
"""Seconds between a server's own deadline, which explains itself, and the supervisor's, which holds for any worker."""

RetryCalls: TypeAlias = bool | frozenset[str] | None
"""Whether calls that were cut off are made again, or for which tools; None if the server's hints decide."""


@frozen
class McpTool:
    """A tool of an MCP server, as the server describes it. Awaiting a call of it calls the tool.

    Attributes:
        server: The server.
        schema: Name, description and arguments, as a model sees them.
        title: Name for people; may be empty.
        read_only: Whether the server says that the tool changes nothing.
        idempotent: Whether the server says that a repeated call changes nothing more.
        destructive: Whether the tool may destroy something; True unless the server denies it.
    """

    server: "McpServer"
    schema: ToolSchema
    title: str = ""
    read_only: bool = False
    idempotent: bool = False
    destructive: bool = True

    @property
    def name(self) -> str:
        """The name of the tool."""
        return self.schema.name

    @property
    def parameters(self) -> dict[str, Any]:
        """JSON Schema of the arguments, an object."""
        return cast("dict[str, Any]", plain(self.schema.parameters))

    def __call__(self, /, **arguments: Any) -> Call[Any]:
        """Call the tool; see ``McpServer.call``."""
        return self.server.call(self.schema.name, **arguments)


class McpServer:
    """An MCP server, made by ``mcp``. Inside a workflow its requests are steps of workers that have the server.

    Outside of workflows each request starts the server, or connects to it, and closes the connection after that.
    """

    def __init__(
        self,
        definition: McpDefinition,
        options: StepOptions,
        retry_calls: "RetryCalls",
        approve: "bool | frozenset[str]",
    ) -> None:
        """Wrap a definition; made by ``mcp``."""
        self._approve = approve
        self.definition = definition
        self.name = definition.server
        self._repeated = options
        self._once = options.model_copy(update={"once": True})
        self._retry_calls = retry_calls
        self._listings: WeakKeyDictionary[ProgramPort, _Listing] = WeakKeyDictionary()

    def __repr__(self) -> str:
        """Describe the server in a few words."""
        how = self.definition.url or " ".join(self.definition.command)
        return f"<{self.definition.title}: {how}>"

    async def tools(self) -> tuple[McpTool, ...]:
        """Return the tools that the server has. Inside a workflow this is a step at first use, kept for the run.

        Raises:
            StepFailed: The server did not answer.
        """
        port = program.get()
        if port is None:
            return self._read(await self._in_place("tools/list", {}))
        listing = self._listings.setdefault(port, _Listing())
        async with listing.lock:
            if listing.tools is None:
                listing.tools = self._read(await self._step(port, "tools", "tools/list", {}, self._repeated))
        return listing.tools

    def call(self, tool: str, /, **arguments: Any) -> Call[Any]:
        """Call a tool of the server; nothing runs before the coroutine is awaited or made a task.

        Inside a workflow the call is a step with the tool's name. A call that was cut off, because the server died or
        did not answer in time, is made again only if the server says that the tool is read-only or idempotent, or if
        ``retry_calls`` allows it. A question that the tool asks becomes an approval (see ``approve``), and the call
        goes on with the decision: rejecting it declines, editing it answers in other words.

        Args:
            tool: Name of the tool.
            arguments: Its arguments, as JSON.

        Returns:
            The structured result if the tool has one, otherwise its text, otherwise its content as JSON.

        Raises:
            StepFailed: The tool reported an error, in which case it is not called again, or the server has no such
                tool.
            OutcomeUnknown: The call was cut off and must not be made again. Its effect may have happened.
            NotSerializable: An argument cannot be written as JSON.
        """
        return self._call(tool, arguments)

    def asks_approval(self, tool: str) -> bool:
        """Return whether a person must approve the calls of a tool that agents make."""
        return self._approve if isinstance(self._approve, bool) else tool in self._approve

    def call_labelled(self, tool: str, label: str, arguments: dict[str, Any]) -> Call[Any]:
        """Call a tool as ``call`` does, with a label in the key of the step."""
        return self._call(tool, arguments, label)

    async def _call(self, tool: str, arguments: dict[str, Any], label: str | None = None) -> Any:
        port = program.get()
        options = self._once if port is None else await self._options(tool)
        params: dict[str, Any] = {"name": tool, "arguments": arguments}
        for _ in range(_ROUNDS):
            if port is None:
                result = await self._in_place("tools/call", params)
            else:
                result = await self._step(port, tool, "tools/call", params, options, label)
            found = questions_of(result)
            if found is None:
                return result
            if port is None:
                msg = f"tool `{tool}` of {self.definition.title} asks a person, and that works inside a workflow only"
                raise Fatal(msg)
            requests, state = found
            answers: dict[str, Any] = dict(params.get("answers", {}))
            for key, request in requests.items():
                answers[key] = answer(await approve(*question(tool, request)))
            params = {**params, "answers": answers, "asked": list(requests), "state": state}
        msg = f"tool `{tool}` of {self.definition.title} asked more than {_ROUNDS} times"
        raise Fatal(msg)

    async def _in_place(self, method: str, params: dict[str, Any]) -> Any:
        fake = tool_fakes.in_place.get(self.definition.ref)
        if fake is not None:
            return await asyncio.to_thread(fake, method, params)
        return await self.definition.fn(method, params)

    async def _options(self, tool: str) -> StepOptions:
        """Return the options of a call: may it be made again after it was cut off?"""
        if isinstance(self._retry_calls, bool):
            return self._repeated if self._retry_calls else self._once
        if self._retry_calls is not None and tool in self._retry_calls:
            return self._repeated
        found = next((each for each in await self.tools() if each.name == tool), None)
        return self._repeated if found is not None and (found.read_only or found.idempotent) else self._once

    async def _step(
        self,
        port: ProgramPort,
        name: str,
        method: str,
        params: dict[str, Any],
        options: StepOptions,
        label: str | None = None,
    ) -> Any:
        _ = self.definition.app  # workers must find the server
        arguments = self.definition.signature.encode_call((method, params), {})
        result: Json = await port.call_step(
            name=name, kind="tool", step=self.definition.ref, arguments=arguments, options=options, key=label
        )
        return plain(result)

    def _read(self, listed: Any) -> tuple[McpTool, ...]:
        return tuple(
            McpTool(
                self,
                ToolSchema(name=each["name"], description=each["description"], parameters=each["parameters"]),
                each["title"],
                each["read_only"],
                each["idempotent"],
                each["destructive"],
            )
            for each in listed
        )


class _Listing:
    """The tools of a server as one program knows them."""

    def __init__(self) -> None:
        self.tools: tuple[McpTool, ...] | None = None
        self.lock = asyncio.Lock()
        """Held while they are asked for."""


@with_hints
def mcp(  # noqa: PLR0913  as many as there are options
    name: str,
    *,
    command: Sequence[str] | None = None,
    url: str | None = None,
    headers: Mapping[str, str] | None = None,
    env: Sequence[str] = (),
    cwd: str | PathLike[str] | None = None,
    start_timeout: Seconds = 30.0,
    timeout: Seconds | None = 60.0,
    retry: Retry = DEFAULT_RETRY,
    crash_attempts: int = 3,
    retry_calls: bool | Collection[str] | None = None,
    approve: bool | Collection[str] = False,
) -> McpServer:
    """Define an MCP server, by the command that starts it or by its URL; at the top level of a file.

    Its workers form the pool ``mcp:NAME``. Each of them has one server, and ends when that server ends.

    Args:
        name: Name of the server, in letters, digits, ``.``, ``_`` and ``-``. It is unique in an app.
        command: The program and its arguments. It speaks the protocol on its standard input and output.
        url: URL of a server that speaks streamable HTTP.
        headers: HTTP headers of each request to ``url``. ``$NAME`` stands for an environment variable that ``env``
            names.
        env: Names of environment variables that the server may see.
        cwd: Folder that the server works in; the orchestrator's by default.
        start_timeout: Seconds that the server may take until it answers.
        timeout: Seconds that one request may take before the server is killed; None for no limit.
        retry: How often and when a request is made again that may be made again.
        crash_attempts: Deaths of the server before such a request is quarantined.
        retry_calls: Whether calls that were cut off are made again: True, False, or the names of the tools for which
            they are. By default, and for other tools, the server's hints decide.
        approve: Whether a person must approve each call that an agent makes: True, False, or the names of the tools for
            which it must.

    Raises:
        DefinitionError: Options have invalid values; the message names them.
    """
    title = f"MCP server `{name}`"
    _check(title, name, command, url, headers)
    words = tuple(map(fspath, command or ()))
    wait = times.seconds(start_timeout, f"start_timeout of {title}")
    if not 0 < wait < float("inf"):
        msg = f"start_timeout of {title} is a time above 0 s, not {start_timeout!r}"
        raise DefinitionError(msg)
    names = env if isinstance(env, (str, Mapping)) else tuple(env)
    options = step_options(
        title,
        {
            "timeout": timeout,
            "retry": retry,
            "crash_attempts": crash_attempts,
            "pool": f"{POOL_OF_SERVERS}{name}",
            "limits": {
                "env": names,
                "workdir": None if cwd is None else fspath(cwd),
                "start_timeout": wait + _MARGIN,
            },
        },
    )

    async def request(method: str, params: dict[str, Any]) -> Any:
        return await _in_place(definition, method, params)

    definition = McpDefinition(
        name,
        request,
        caller_site(f"mcp.{name}"),
        options,
        command=words,
        url=url or "",
        headers=headers or {},
        start_timeout=wait,
    )
    named: RetryCalls
    if isinstance(retry_calls, str):
        named = frozenset({retry_calls})  # one name, not one for each letter
    else:
        named = retry_calls if retry_calls is None or isinstance(retry_calls, bool) else frozenset(retry_calls)
    asking = approve if isinstance(approve, bool) else frozenset({approve} if isinstance(approve, str) else approve)
    return McpServer(definition, options, named, asking)


def _check(
    title: str,
    name: str,
    command: Sequence[str] | None,
    url: str | None,
    headers: Mapping[str, str] | None,
) -> None:
    """Raise for options that exclude each other or have wrong types, as callers need not be typed."""
    wrong = ""
    if not isinstance(cast("object", name), str) or not _NAME.fullmatch(name):
        wrong = "cannot be called that: use letters, digits, '.', '_' and '-'"
    elif (command is None) == (url is None):
        given = "both command= and url=" if url is not None else "neither command= nor url="
        wrong = f"has {given}: give the command that starts it, or the URL at which it runs"
    elif command is not None and (isinstance(command, str) or not command or not all(command)):
        wrong = f"has the command {command!r}: write a list of words, as in command=['python', 'server.py']"
    elif url is not None and not re.match(r"https?://[^/\s]+", url):
        wrong = f"has the URL {url!r}: write one that begins with http:// or https://"
    elif url is not None and "@" in re.split(r"[/?#]", url, maxsplit=3)[2]:
        wrong = (
            "has a user or a password in its URL, which records and logs would show: leave out what stands before the "
            "@, and send it as in headers={'Authorization': '$NAME'}, env=['NAME']"
        )
    elif headers and command is not None:
        wrong = "has headers=, which only a server with url= is sent: pass the command variables with env="
    if wrong:
        msg = f"{title} {wrong}"
        raise DefinitionError(msg)


async def _in_place(definition: McpDefinition, method: str, params: dict[str, Any]) -> Any:
    """Start a server, or connect to it, for one request.

    Raises:
        Fatal: The tool reported an error, or there is no such tool.
        OutcomeUnknown: The server died or did not answer in time during a call.
        DefinitionError: The server cannot be started or reached.
    """
    definition.check()
    from greenroom.actors.mcp.connection import connect  # noqa: PLC0415  needs an extra
    from greenroom.actors.mcp.process import ServerLost  # noqa: PLC0415  see above

    begun, result = False, cast("Any", None)
    try:
        async with asyncio.timeout(definition.start_timeout) as deadline, connect(definition) as connection:
            begun, limit = True, definition.options.timeout
            deadline.reschedule(None if limit is None else asyncio.get_running_loop().time() + limit)
            (result,) = await asyncio.gather(connection.request(method, params), return_exceptions=True)
    except Exception as error:  # noqa: BLE001  raised below, unless only the closing of the connection failed
        result = result if begun and not isinstance(error, TimeoutError) else error
    if isinstance(result, (TimeoutError, ServerLost)):
        what = str(result) or f"{definition.title} did not answer in time"
        raise (OutcomeUnknown(what, outcome="crash") if begun else DefinitionError(what)) from result
    if isinstance(result, BaseException):  # kept until here, as the connection would put it into groups
        raise result
    return result
