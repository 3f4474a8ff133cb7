"""Turns that are too long for one frame, as when a workflow calls many steps at once with a document each."""

from greenroom.messages.codecs.codec import FROM_WORKER
from greenroom.messages.core.errors import FrameTooLarge, NotSerializable
from greenroom.messages.frames.envelope import IN_A_FILE, MAX_FRAME_BYTES, MOST_TURN_BYTES
from greenroom.messages.frames.worker import (
    ProgramCommand,
    Return,
    ScheduleApproval,
    ScheduleChild,
    ScheduleStep,
    SendMessage,
    Turn,
)


def parts(turn: Turn) -> list[Turn]:
    """Return a turn as several that fit a frame each; all but the last say that ``more`` follows.

    Raises:
        NotSerializable: One of its commands or the state alone is too long, or all together are. The message names it.
    """
    rest = turn.model_copy(update={"commands": ()})
    size = total = _size(rest, "the shared state")
    groups: list[list[ProgramCommand]] = [[]]  # from the last part to the first, and so are the commands in each
    for command in reversed(turn.commands):  # the last part has the state, and so holds fewer of them
        more = _size(Turn(run_id=turn.run_id, commands=(command,)), _what(command))
        total += more
        if total > MOST_TURN_BYTES:
            what = f"what is asked for at once has more than {MOST_TURN_BYTES} bytes"
            msg = f"{what}: ask for less at a time, or {IN_A_FILE}"
            raise NotSerializable(msg)
        if size + more > MAX_FRAME_BYTES and (groups[-1] or size):
            groups.append([])
            size = 0
        groups[-1].append(command)
        size += more
    *first, last = (tuple(reversed(group)) for group in reversed(groups))
    begun = [Turn(run_id=turn.run_id, commands=commands, more=True) for commands in first]
    return [*begun, rest.model_copy(update={"commands": last})]


def _size(part: Turn, what: str) -> int:
    try:
        return len(FROM_WORKER.encode(part))
    except FrameTooLarge as error:
        msg = f"{what} is too long, {error}: {IN_A_FILE}"
        raise NotSerializable(msg) from error


def _what(command: ProgramCommand) -> str:
    match command:
        case ScheduleStep() | ScheduleChild():
            return f"the call of {command.key}"
        case ScheduleApproval():
            return f"the question {command.key}"
        case SendMessage(to=to):
            return f"the message to {to}"
        case Return():
            return "the result"
        case _:
            return f"the request {command.type}"
