"""Scripted language models: the test sets their replies, and the workers return them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeAlias

from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_json

from greenroom.actors.models import ModelReply, ModelRequest
from greenroom.actors.models.script import VARIABLE, Scripted, exception_class, script_path, taken_path
from greenroom.messages.core.errors import RetryAfter
from greenroom.workflows.authoring.llm import LLM

Reply: TypeAlias = Any
"""A text is returned unchanged, a model or other value as JSON, an exception is raised. A ``ModelReply`` may ask for
tools."""
_REQUEST: Final[TypeAdapter[ModelRequest]] = TypeAdapter(ModelRequest)


class ModelScripts:
    """The scripts of one test, in a folder that workers read.

    The environment variable ``GREENROOM_SCRIPTS`` tells workers the folder. It must be set before an orchestrator
    starts the first worker. The fixture ``model_scripts`` does that.

    Args:
        folder: The folder; created if it does not exist.
    """

    variable = VARIABLE

    def __init__(self, folder: Path) -> None:
        """Start without scripts."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._replies: dict[str, list[Scripted]] = {}

    def __repr__(self) -> str:
        """Return a description that names the scripted models."""
        return f"<ModelScripts of {', '.join(self._replies) or 'no LLM'} in {self.folder}>"

    def reply(self, llm: LLM[Any] | str, *replies: Reply, when: str | None = None) -> None:
        """Add replies for an ``LLM``. From then on no model is called for it.

        Every attempt takes the next reply: after a reply that does not fit, or an exception, comes the one after it.
        An attempt that is killed has used its reply. An attempt that finds no reply left fails for good.

        Args:
            llm: The ``LLM`` or ``Judge``, or its name.
            replies: A text is returned unchanged, a pydantic model or other value as JSON, an exception is raised. A
                ``ModelReply`` may ask for tools.
            when: Use the replies only for prompts that contain this text. Concurrent calls need it.

        Raises:
            TypeError: The class of an exception is neither one of Python's nor one of this package's, or no model is
                asked for such a step.
        """
        name = _name(llm)
        script = self._replies.setdefault(name, [])
        script += [_scripted(reply, when) for reply in replies]
        path = script_path(self.folder, name)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps([asdict(reply) for reply in script]), "utf-8")
        fresh.replace(path)  # a worker reads the old script or the new one, never a part

    def requests(self, llm: LLM[Any] | str) -> Sequence[ModelRequest]:
        """Return the requests to a scripted ``LLM`` in order, one for each attempt."""
        path = taken_path(self.folder, _name(llm))
        if not path.exists():
            return []
        found: list[ModelRequest] = []
        for line in path.read_text("utf-8").splitlines():
            noted: dict[str, Any] = json.loads(line)
            del noted["reply"]
            found.append(_REQUEST.validate_python(noted))
        return found


def _name(llm: object) -> str:
    if isinstance(llm, str):
        return llm
    definition = getattr(llm, "definition", None)
    kind = getattr(definition, "kind", "")
    if definition is None or kind != "llm":
        msg = f"replies are written down for an LLM or a Judge, or for the name of one, not for {llm!r:.200}"
        raise TypeError(msg + ("; a tool is replaced with the fixture tool_fakes" if kind == "tool" else ""))
    return str(definition.name)


def _scripted(reply: Reply, when: str | None) -> Scripted:
    if isinstance(reply, type) and issubclass(reply, BaseException):
        reply = reply()  # as `raise` does
    if isinstance(reply, str):
        return Scripted(text=reply, when=when)
    if isinstance(reply, ModelReply):
        return Scripted(text=reply.text, when=when, calls=[call.model_dump() for call in reply.calls])
    if isinstance(reply, BaseModel):
        return Scripted(text=reply.model_dump_json(), when=when)
    if isinstance(reply, BaseException):
        name = type(reply).__name__
        if exception_class(name) is not type(reply):
            msg = f"a worker cannot raise {reply!r}: script an exception of Python's own or of greenroom"
            raise TypeError(msg)
        delay = reply.seconds if isinstance(reply, RetryAfter) else 0.0
        return Scripted(text=str(reply), raises=name, delay=delay, when=when)
    return Scripted(text=to_json(reply).decode(), when=when)
