"""Messages that workflows and sessions send to other runs."""

from pydantic import BaseModel

from greenroom.actors.context import program
from greenroom.actors.values.conversion import ValueConverter


async def signal(run_id: str, message: BaseModel) -> None:
    """Send a message to another run, whose workflow takes it with ``receive``.

    The message is committed together with what the workflow does next, or with the end of the session's turn. Once
    committed it is delivered exactly once; if that commit is lost, it was never sent. There is no reply. If the
    receiving run does not exist or has ended, the sender's events say so.

    Args:
        run_id: The run's id.
        message: An instance of a pydantic model; the receiving workflow selects it by the model's name.

    Raises:
        TypeError: The message is not an instance of a pydantic model.
        NotSerializable: The message cannot be written as JSON.
        RuntimeError: The caller runs neither in a workflow nor in a session's turn.
    """
    port = program.get()
    if port is None:
        msg = "signal() is for workflow code: elsewhere, orchestrator.get(run_id).signal(message) sends"
        raise RuntimeError(msg)
    _check(message)
    port.send(run_id, type(message).__name__, ValueConverter(type(message), "the message").dump(message))


def _check(message: object) -> None:
    """Check the message's type at run time, because callers need not be typed."""
    if not isinstance(message, BaseModel):
        msg = f"a message is a pydantic model, not {message!r}"
        raise TypeError(msg)
