"""Fakes of tools: a function of the test is called in place of a tool, whichever worker has the attempt."""

import asyncio
import inspect
import json
import shutil
import socketserver
import tempfile
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from greenroom.actors.api.step_context import context_of, running
from greenroom.actors.definitions.definitions import StepDefinition
from greenroom.actors.failures.description import describe_exception
from greenroom.actors.worker import tool_fakes as faking
from greenroom.messages.core.json_text import plain
from greenroom.messages.frames.worker import Execute
from greenroom.testing.fake_servers import FakeServer
from greenroom.workflows.authoring.mcp import McpServer
from greenroom.workflows.authoring.step import Step


@dataclass(frozen=True, slots=True)
class FakeCall:
    """A call of a fake: one attempt. Of a server, ``args`` is the name of the tool, and ``kwargs`` its arguments."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    run_id: str
    """Empty if the tool was called outside a workflow."""
    attempt: int


class ToolFakes:
    """Fakes of one test.

    Attempts of replaced tools still start in their worker processes, with their retries and timeouts. There they ask
    the test's process, which calls the fake in a thread of its own.

    The environment variable ``GREENROOM_FAKES`` tells workers where to ask. It must be set before an orchestrator
    starts the first worker. The fixture ``tool_fakes`` does that.
    """

    variable = faking.VARIABLE

    def __init__(self) -> None:
        """Start listening, with no tool replaced. ``close`` ends it."""
        self._folder = Path(tempfile.mkdtemp(prefix="greenroom-"))  # a socket's path must be short
        self.path = self._folder / "fakes"
        """The socket."""
        self._fakes: dict[str, tuple[StepDefinition, Callable[..., Any]]] = {}
        self._calls: dict[str, list[FakeCall]] = {}
        self._server = _Server(str(self.path), self._answer)
        self._thread = threading.Thread(target=self._server.serve_forever, name="tool-fakes", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        """Return a description that names the replaced tools."""
        names = ", ".join(definition.name for definition, _ in self._fakes.values())
        return f"<ToolFakes of {names or 'no tool'}>"

    def replace(self, tool: object, fake: Callable[..., Any]) -> None:
        """Replace a tool by a function, in every attempt from now on.

        The fake is called with the attempt's arguments, converted by the tool's annotations. It may be any callable: a
        closure, a ``unittest.mock.Mock``, an ``async`` function. Its result must fit the tool's annotation. The tool's
        retry policy applies to exceptions that it raises. ``current()`` works in it.

        Args:
            tool: A function decorated with ``@tool``.
            fake: The function to call instead.

        Raises:
            TypeError: ``tool`` is not a tool, or the fake is not callable. For an ``LLM`` use ``model_scripts``.
        """
        definition = getattr(tool, "definition", None)
        if definition is None or definition.kind != "tool" or isinstance(tool, McpServer):
            msg = f"only a function decorated with @tool is replaced by a fake, not {tool!r:.200}"
            if getattr(definition, "kind", "") == "llm":
                msg += "; what an LLM answers is written down with the fixture model_scripts"
            if isinstance(tool, McpServer):
                msg = f"{tool!r} is replaced with replace_server, by a function for each of its tools"
            raise TypeError(msg)
        if not callable(cast("object", fake)):
            msg = f"a fake of {definition.title} is called with the tool's arguments; {fake!r:.200} cannot be called"
            raise TypeError(msg)
        self._enter(definition, fake)

    def replace_server(
        self, server: McpServer, tools: Mapping[str, Callable[..., Any]], *, read_only: Collection[str] = ()
    ) -> None:
        """Replace an MCP server by functions, by the names of its tools. It is not started, and need not be installed.

        A fake is called with the arguments of the call by name, and what it returns is what the call gives. It may be
        any callable, see ``replace``. What it raises is an error that the tool reports: the call is not made again.
        A model sees the fake's docstring and signature as the tool's.

        Args:
            server: A server made by ``mcp``.
            tools: The fakes by name. The server has no other tools.
            read_only: Names of those that the server calls read-only, whose calls are made again after a death.

        Raises:
            TypeError: ``server`` is not an MCP server, or a fake is not callable.
        """
        if not isinstance(cast("object", server), McpServer):
            msg = f"replace_server takes a server made by mcp(), not {server!r:.200}"
            raise TypeError(msg)
        for name, fake in tools.items():
            if not callable(cast("object", fake)):
                msg = f"the fake of tool `{name}` is called with the tool's arguments; {fake!r:.200} cannot be called"
                raise TypeError(msg)
        self._enter(server.definition, FakeServer(server.definition, tools, read_only))

    def _enter(self, definition: StepDefinition, fake: Callable[..., Any]) -> None:
        self._fakes[definition.ref] = (definition, fake)
        faking.in_place[definition.ref] = self._in_place(definition.ref)

    def calls(self, tool: Step[..., Any] | McpServer) -> Sequence[FakeCall]:
        """Return the calls of a replaced tool or server so far, one for each attempt, in order.

        Raises:
            TypeError: It is neither a tool nor a server.
        """
        if getattr(getattr(tool, "definition", None), "kind", "") != "tool":
            msg = f"calls are kept of tools and of servers made by mcp(), not of {tool!r:.200}"
            raise TypeError(msg)
        return tuple(self._calls.get(tool.definition.ref, ()))

    def close(self) -> None:
        """Stop replacing tools. Does not wait for attempts in progress."""
        for ref in self._fakes:
            faking.in_place.pop(ref, None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _in_place(self, ref: str) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            return self._call(ref, args, kwargs, run_id="", attempt=1)

        return called

    def _call(self, ref: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, run_id: str, attempt: int) -> Any:
        fake = self._fakes[ref][1]
        call: FakeCall | None = FakeCall(args, kwargs, run_id, attempt)
        if isinstance(fake, FakeServer):
            method, params = args
            called = method == "tools/call"
            call = FakeCall((params["name"],), params["arguments"], run_id, attempt) if called else None
        if call is not None:
            self._calls.setdefault(ref, []).append(call)
        value = fake(*args, **kwargs)
        return asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value

    def _answer(self, request: bytes) -> dict[str, Any]:
        """Answer a worker. Runs on a thread of the server."""
        message = Execute.model_validate_json(request)
        if message.step not in self._fakes:
            return {}
        definition = self._fakes[message.step][0]
        running.set(context_of(message, lambda _progress: None))
        try:
            args, kwargs = definition.signature.decode_call(message.arguments)
            value = self._call(message.step, tuple(args), kwargs, run_id=message.run_id, attempt=message.attempt)
            return {"result": plain(definition.encode_result(value))}
        except BaseException as error:  # noqa: BLE001  the attempt's outcome, also what pytest.fail() raises
            return {"failure": json.loads(describe_exception(error).model_dump_json())}


async def _awaited(value: Any) -> Any:
    return await value


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers each connection in a thread, so that fakes of concurrent attempts are called concurrently."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, path: str, answer: Callable[[bytes], dict[str, Any]]) -> None:
        super().__init__(path, _Handler)
        self.answer = answer


class _Handler(socketserver.StreamRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]  it is used by this server alone

    def handle(self) -> None:
        if request := self.rfile.readline():
            answer = copy_context().run(self.server.answer, request)
            try:
                self.wfile.write(json.dumps(answer).encode() + b"\n")
            except OSError:  # the attempt was cut off meanwhile
                return
