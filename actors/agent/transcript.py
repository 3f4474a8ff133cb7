"""The transcript of one agent's call, as the program builds it."""

from pydantic import BaseModel

from greenroom.messages.core.json_text import JsonText
from greenroom.messages.transcript import (
    Entry,
    ModelAnswer,
    ToolList,
    TranscriptUse,
    UserMessage,
    answer_entry,
    entry_id,
)


class Transcript:
    """A transcript that grows. The program knows its last entry, and those that the run does not store yet.

    Args:
        tip: Its last entry so far, which the run stores; empty for a new transcript.
    """

    def __init__(self, tip: str = "") -> None:
        """Go on after an entry."""
        self.tip = tip
        self.has_past = bool(tip)
        """Whether there is anything before the newest message that a summary could replace."""
        self._new: list[Entry] = []

    def add(self, message: BaseModel, keep: int | None = None) -> None:
        """Add a message, or a list of tools; for ``keep`` see ``Entry``."""
        entry = Entry(parent=self.tip, message=JsonText(message.model_dump_json().encode()), keep=keep)
        self._new.append(entry)
        self.tip = entry_id(entry)

    def begin_again(self, tools: ToolList, summary: str) -> None:
        """Replace everything by a summary."""
        self.tip = ""
        self.has_past = False
        self._new.clear()
        self.add(tools)
        self.add(UserMessage(text=summary))

    def replace(self, tools: ToolList, summary: str, keep: int) -> None:
        """Replace everything but the last entries by a summary. They stay stored once."""
        self.add(UserMessage(text=summary), keep)
        self.add(tools)

    def use(self) -> TranscriptUse:
        """Return the transcript for a model call, with the entries added since the last call."""
        used = TranscriptUse(tip=self.tip, new=tuple(self._new))
        self._new.clear()
        return used

    def answered(self, answer: ModelAnswer) -> Entry:
        """Add the answer to the model call that ``use`` was called for, which the run stores by itself."""
        entry = answer_entry(self.tip, answer)
        self.tip = entry_id(entry)
        self.has_past = True
        return entry
