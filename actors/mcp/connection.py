"""A connection to an MCP server: its tools, and calls of them, as JSON."""

import asyncio
import json
import os
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any, Final, cast

from httpx2 import TransportError
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import (
    CONNECTION_CLOSED,
    INVALID_PARAMS,
    CallToolResult,
    ElicitResult,
    ErrorData,
    Implementation,
    InputRequiredResult,
    InputResponse,
    PaginatedRequestParams,
    RequestParamsMeta,
    TextContent,
    Tool,
)
from pydantic import BaseModel, ValidationError

from greenroom.actors.mcp.content import without_bytes
from greenroom.actors.mcp.definition import McpDefinition
from greenroom.actors.mcp.http import LastAnswer, http_client
from greenroom.actors.mcp.process import LONGEST_MESSAGE, ServerLost, ServerProcess, SessionGone
from greenroom.actors.mcp.questions import QUESTIONS
from greenroom.messages.core.errors import Fatal, GreenroomError
from greenroom.version import VERSION

_PAGES: Final = 1000
"""Most pages of a list of tools."""
_PAUSE: Final = 0.25
"""Seconds before a server that asked for patience, and nothing else, is asked again."""
_SETTLE: Final = 0.5
"""Seconds in which the end of a connection is noticed after a request has failed for it."""
_LATER: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
"""HTTP statuses of a server that asks for patience."""
_FINAL: Final = frozenset(range(HTTPStatus.OK, HTTPStatus.INTERNAL_SERVER_ERROR)) - _LATER
"""HTTP statuses that a server has for the first requests also the next time, if it cannot be used because of them."""
_CLOSED: Final = "Connection closed"
"""Message of the ``mcp`` package in an error for a connection that has ended, or ends."""
_ROUNDS: Final = 20
"""Most times that a call is sent again because the server asked for it."""

_PIECE_OF_INPUT: Final = re.compile(
    r" \[type=\w+, input_value=.*?, input_type=\w+\](?:\s+For further information visit \S+)?", re.DOTALL
)
"""What pydantic adds to a fault in a message. A secret that the server repeats may be cut there, and would not be
recognized any more."""


class Connection:
    """A connection to a server.

    Attributes:
        lost: Done with the reason once the connection has ended by itself.
    """

    def __init__(
        self, definition: McpDefinition, client: Client, lost: "asyncio.Future[ServerLost]", last: LastAnswer
    ) -> None:
        """Wrap a client that is connected. ``last`` is the last HTTP response, if the server is reached by its URL."""
        self.lost = lost
        self._last = last
        self._definition = definition
        self._client = client
        self._tools: dict[str, Tool] = {}

    async def request(self, method: str, params: dict[str, Any], *, idempotency_key: str = "") -> Any:
        """Send a request of the protocol and return its result as JSON.

        Args:
            method: ``tools/list``, or ``tools/call`` with ``name`` and ``arguments``. See ``call``.
            params: Parameters of the request.
            idempotency_key: The same for each attempt of one call. Sent with a call.

        Raises:
            Fatal: The tool reported an error, or the server refused the request.
            ServerLost: The connection has ended, so the outcome of a call is unknown.
            SessionGone: The server knows the session no longer, and has done nothing.
        """
        try:
            if method == "tools/list":
                return [_described(tool) for tool in await self._list()]
            return await self._call(params, {"greenroom/idempotencyKey": idempotency_key} if idempotency_key else {})
        except MCPError as error:
            self._raise_for_status(error)
            if error.code == CONNECTION_CLOSED:
                await self._raise_if_lost(error)
            said = _refusal(error)
            raise Fatal(f"{self._definition.title} refused the request: {said} (code {error.code})") from None  # noqa: EM102
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # from here
            raise ServerLost(f"the connection to {self._definition.title} ended") from None  # noqa: EM102
        except RuntimeError as error:  # the result does not fit the schema that the server itself has given
            raise Fatal(f"{self._definition.title} answered wrongly: {error}") from None  # noqa: EM102

    def _raise_for_status(self, error: MCPError) -> None:
        """Raise for an HTTP response that is not an answer of the protocol, whose servers refuse requests with 400."""
        last = self._last
        if last.status > HTTPStatus.BAD_REQUEST or last.is_foreign:
            kind = SessionGone if last.status == HTTPStatus.NOT_FOUND and last.in_session else ServerLost
            raise kind(f"{self._definition.title} {_reason(self._definition.url, last, error)}") from None  # noqa: EM102

    async def _raise_if_lost(self, error: MCPError) -> None:
        if self._definition.url and self._is_said(error):
            return
        await asyncio.wait([self.lost], timeout=_SETTLE)
        if self.lost.done():
            raise self.lost.result()
        if self._definition.url:
            raise ServerLost(f"the connection to {self._definition.title} ended: {error}")  # noqa: EM102

    def _is_said(self, error: MCPError) -> bool:
        """Return whether an error with the code of a connection that has ended is the server's own answer to a request.

        A server that is shut down in a call answers that the connection is closed, and the outcome is unknown.
        """
        said = self._last.status == HTTPStatus.OK and str(error.code).encode() in self._last.tail
        return said and error.message != _CLOSED

    async def _list(self) -> list[Tool]:
        """Ask for all tools, page by page."""
        tools: dict[str, Tool] = {}  # one for each name, as a call names no more
        cursor: str | None = None
        for _ in range(_PAGES):
            page = await self._client.session.list_tools(params=PaginatedRequestParams(cursor=cursor))
            tools.update((tool.name, tool) for tool in page.tools)
            if page.next_cursor in {None, cursor}:  # some servers name the last page for ever
                break
            cursor = page.next_cursor
        self._tools = tools
        return list(tools.values())

    async def _check_name(self, name: str) -> None:
        if name not in self._tools:
            await self._list()  # it may have been added since
        if name not in self._tools:
            close = get_close_matches(name, self._tools, n=3)
            names = ", ".join(f"`{each}`" for each in close or sorted(self._tools))
            hint = f"did you mean {names}?" if close else f"it has {names or 'none'}"
            raise Fatal(f"{self._definition.title} has no tool `{name}`; {hint}")  # noqa: EM102

    async def _call(self, params: dict[str, Any], meta: dict[str, Any]) -> Any:
        """Call a tool, and return what it returned or the questions that it asks (see ``QUESTIONS``).

        ``params`` has ``name`` and ``arguments``. A call that goes on with answers also has ``state``, which came with
        the questions, ``answers`` to all questions so far by key, and ``asked``, the keys of the newest. A server may
        refuse the state, for example because it came from another process of that server. The call then begins anew,
        and the server gets the answers that it had when it asks again.
        """
        name = params["name"]
        await self._check_name(name)
        written: dict[str, Any] = params.get("answers", {})
        answers: dict[str, InputResponse] = {key: ElicitResult.model_validate(value) for key, value in written.items()}
        given = {key: answers[key] for key in params.get("asked", ())} or None
        state, resumed = params.get("state"), "state" in params
        for _ in range(_ROUNDS):
            try:
                result = await self._client.session.call_tool(
                    name,
                    params["arguments"],
                    input_responses=given,
                    request_state=state,
                    meta=cast("RequestParamsMeta", meta),
                    allow_input_required=True,
                )
            except MCPError as error:
                if not resumed or error.code != INVALID_PARAMS:
                    raise
                given, state, resumed = None, None, False
                continue
            except ValidationError as error:
                raise Fatal(f"{self._definition.title} answered wrongly: {_fault(error)}") from None  # noqa: EM102
            if not isinstance(result, InputRequiredResult):
                assert isinstance(result, CallToolResult)
                return _value(result, f"tool `{name}` of {self._definition.title}")
            state = result.request_state
            asked = result.input_requests or {}
            if asked and not (asked.keys() <= answers.keys() and not resumed):
                questions = {key: _json(each) for key, each in asked.items()}
                return {QUESTIONS: {"requests": questions, "state": state}}
            given = {key: answers[key] for key in asked} or None
            if not asked:
                await asyncio.sleep(_PAUSE)
        raise Fatal(f"{self._definition.title} asked {_ROUNDS} times for the call of `{name}` to be sent again")  # noqa: EM102


@asynccontextmanager
async def connect(definition: McpDefinition) -> AsyncGenerator[Connection]:
    """Start a server, or reach it by its URL; close the connection at the end. Sets no deadline.

    Raises:
        ServerLost: The server cannot be started or reached, or does not speak the protocol.
        DefinitionError: A header needs a variable that is not set.
    """
    lost: asyncio.Future[ServerLost] = asyncio.get_running_loop().create_future()
    last = LastAnswer()
    title = definition.title
    transport: Any
    http = None
    if definition.command:
        transport = ServerProcess(title, definition.command, definition.workdir, lost)
    else:
        http = http_client(title, definition.headers_with(os.environ), last)
        transport = streamable_http_client(definition.url, http_client=http, max_sse_event_size=LONGEST_MESSAGE)

    async def refuse(context: object, params: object) -> ErrorData:  # noqa: ARG001  the package's protocol
        text = "questions are answered for protocol 2026-07-28 and newer, where they are results of a call"
        return ErrorData(code=INVALID_PARAMS, message=text)

    client = Client(
        transport,
        client_info=Implementation(name="greenroom", version=VERSION),
        elicitation_callback=refuse,  # so that it says that it answers questions
    )
    begun = False
    try:
        async with AsyncExitStack() as stack:
            if http is not None:
                stack.push_async_callback(http.aclose)  # the transport leaves a client open that it was given
            await stack.enter_async_context(client)
            connection = Connection(definition, client, lost, last)
            await connection.request("tools/list", {})
            begun = True
            yield connection
    except (GeneratorExit, asyncio.CancelledError):
        raise
    except BaseException as error:
        if lost.done():
            raise lost.result() from None
        first = _first(error)
        if isinstance(first, GreenroomError):
            raise first from None
        if begun:
            raise ServerLost(f"the connection to {title} ended: {_sentence(first)}") from error  # noqa: EM102
        final = not definition.url or (last.status in _FINAL and not isinstance(first, TransportError))
        raise ServerLost(f"{title} {_reason(definition.url, last, first)}", final=final) from error  # noqa: EM102


def _reason(url: str, last: LastAnswer, error: BaseException) -> str:
    """Return why a server could not be used, and what to do about it."""
    said = _sentence(error)
    if not url:
        return f"does not speak the protocol: {said}; correct command="
    if not last.status or isinstance(error, TransportError):
        return f"at {url} cannot be reached: {said}; start it, or correct url="
    if not last.is_error:
        return f"at {url} does not speak the protocol: {said}; correct url="
    denied = last.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    broken = last.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    remedy = "look at its own log" if broken else "correct headers=" if denied else "correct url="
    return f"at {url} answered with HTTP status {last.status}: {'try again later' if last.status in _LATER else remedy}"


def _first(error: BaseException) -> BaseException:
    """Return the first exception in nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def _sentence(error: BaseException) -> str:
    """Return an exception in one line."""
    text = " ".join(_PIECE_OF_INPUT.sub("", str(error)).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _fault(error: ValidationError) -> str:
    """Return what is wrong with a message, without what it holds."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'message'}: {first['msg']}"


def _refusal(error: MCPError) -> str:
    """Return what a server says in an error: its message and its data, which may hold what the message leaves out."""
    data = error.data
    more = "" if data is None or data == "" else data if isinstance(data, str) else _text(data)
    words = [part for part in (str(error), more) if part]
    return _PIECE_OF_INPUT.sub("", ": ".join(words) or "it did not say why")


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _described(tool: Tool) -> dict[str, Any]:
    """Return a tool as JSON: its schema as a model sees it, and its hints, whose defaults are the protocol's."""
    hints = tool.annotations
    read_only = bool(hints and hints.read_only_hint)
    return {
        "name": tool.name,
        "description": tool.description or "",
        "parameters": tool.input_schema,
        "title": tool.title or (hints.title if hints and hints.title else "") or "",
        "read_only": read_only,
        "idempotent": bool(hints and hints.idempotent_hint),
        "destructive": not read_only and (hints is None or hints.destructive_hint is not False),
    }


def _value(result: CallToolResult, title: str) -> Any:
    """Return the result of a tool: its structured content, otherwise its text, otherwise its content as JSON.

    Raises:
        Fatal: The tool reports an error.
    """
    texts = [item.text for item in result.content if isinstance(item, TextContent)]
    if result.is_error:
        raise Fatal("\n".join(filter(None, texts)) or _unspoken(result, title))
    if result.structured_content is not None:
        return result.structured_content
    if len(texts) == len(result.content):
        return "\n".join(texts)
    return [_json(item) for item in result.content]


def _unspoken(result: CallToolResult, title: str) -> str:
    """Return what a tool reports that has failed without a word: its structured content, otherwise its content."""
    content = without_bytes([_json(item) for item in result.content if not isinstance(item, TextContent)])
    said = result.structured_content or content
    return f"{title} failed: {_text(said)}" if said else f"{title} failed and did not say why"


def _json(message: BaseModel) -> Any:
    return message.model_dump(mode="json", by_alias=True, exclude_none=True)
