"""Frames of commands and replies, for the control socket."""

from typing import Any, Final

from greenroom.messages.codecs.codec import Codec
from greenroom.messages.commands import Command, Reply

COMMANDS: Final[Codec[Any]] = Codec(Command)
REPLIES: Final[Codec[Any]] = Codec(Reply)
