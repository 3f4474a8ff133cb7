"""Messages from a workflow's code, or a session's turn, to other runs."""

from pydantic import BaseModel

from greenroom.actors.context import program
from greenroom.actors.values.conversion import Form


async def signal(run_id: str, message: BaseModel) -> None:
    """Send another run a message, which its workflow takes with ``receive``.

    It is on record with whatever the workflow does next, or with the end of the turn, and arrives once: if that moment
    is lost it was never sent, and if it is not, nothing keeps the message from arriving. Nothing comes back. A run that
    does not exist or has ended takes none, which the sender's events tell.

    Args:
        run_id: The run's id.
        message: A pydantic model; its type's name is what the workflow asks for.

    Raises:
        TypeError: It is no pydantic model.
        NotSerializable: It cannot be written as JSON.
        RuntimeError: The code that sends runs in no workflow and no turn.
    """
    port = program.get()
    if port is None:
        msg = "signal() is for workflow code: elsewhere, orchestrator.get(run_id).signal(message) sends"
        raise RuntimeError(msg)
    _check(message)
    port.send(run_id, type(message).__name__, Form(type(message), "the message").dump(message))


def _check(message: object) -> None:
    """Refuse what has no type to be asked for by: callers need not be typed."""
    if not isinstance(message, BaseModel):
        msg = f"a message is a pydantic model, not {message!r}"
        raise TypeError(msg)
