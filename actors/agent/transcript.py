"""The transcript of one agent's call, as the program builds it."""

from pydantic import BaseModel

from greenroom.messages.core.json_text import JsonText
from greenroom.messages.transcript import Entry, ModelAnswer, TranscriptUse, answer_entry, entry_id


class Transcript:
    """A transcript that grows. The program knows its last entry, and those that the run does not store yet.

    Args:
        tip: Its last entry so far, which the run stores; empty for a new transcript.
    """

    def __init__(self, tip: str = "") -> None:
        """Go on after an entry."""
        self.tip = tip
        self._new: list[Entry] = []

    def add(self, message: BaseModel) -> None:
        """Add a message, or a list of tools."""
        entry = Entry(parent=self.tip, message=JsonText(message.model_dump_json().encode()))
        self._new.append(entry)
        self.tip = entry_id(entry)

    def use(self) -> TranscriptUse:
        """Return the transcript for a model call, with the entries added since the last call."""
        used = TranscriptUse(tip=self.tip, new=tuple(self._new))
        self._new.clear()
        return used

    def answered(self, answer: ModelAnswer) -> Entry:
        """Add the answer to the model call that ``use`` was called for, which the run stores by itself."""
        entry = answer_entry(self.tip, answer)
        self.tip = entry_id(entry)
        return entry
