"""The main function of worker processes."""

import os
import socket

from greenroom.actors.failures.limit_hints import note_limits
from greenroom.actors.failures.redaction import remember
from greenroom.actors.worker.actor import WorkerActor
from greenroom.actors.worker.channel import Channel
from greenroom.messages.frames.worker import POOL_OF_SERVERS, WorkerSpec


def main(connection: socket.socket, spec: WorkerSpec) -> None:
    """Run the worker that ``spec`` describes until told to stop. Main thread of a process that has loaded its app.

    Raises:
        SystemExit: User code asked to end the process. Other exceptions that are not an ``Exception`` end it too.
    """
    remember(os.environ, spec.limits.env)
    note_limits(spec.limits)
    if spec.kind == "program":
        from greenroom.actors.worker.program_host import serve  # noqa: PLC0415  each worker imports only its own actor

        serve(connection, spec)
    else:
        actor_class(spec).serve(Channel(connection, spec.heartbeat), spec)


def actor_class(spec: WorkerSpec) -> type[WorkerActor]:
    """Return the actor class for a kind of worker."""
    if spec.pool.startswith(POOL_OF_SERVERS):
        from greenroom.actors.worker.mcp import ServerActor  # noqa: PLC0415  see above

        return ServerActor
    match spec.kind:
        case "llm":
            from greenroom.actors.worker.models.llm import ModelActor  # noqa: PLC0415  see above

            return ModelActor
        case "evaluator":
            from greenroom.actors.worker.evaluator import EvaluatorActor  # noqa: PLC0415  see above

            return EvaluatorActor
        case _:
            from greenroom.actors.worker.tool import ToolActor  # noqa: PLC0415  see above

            return ToolActor
