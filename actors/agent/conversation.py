"""Conversations with models, as a workflow's code holds them: by reference."""

from pydantic import BaseModel, PrivateAttr

from greenroom.messages.transcript import Entry


class Conversation(BaseModel):
    """The history of a conversation with a model. Pass it as ``history`` to an ``LLM``, which adds to it.

    It holds a reference. The run or session that had the conversation stores each message once, so the history may be a
    field of a session's state: the state stays short, however long the conversation is. A reference is good for the
    run or session that it belongs to, and not for others.

    A call that fails leaves the history as it was.

    Attributes:
        tip: The last entry; empty for a new conversation.
        tokens: Length of the conversation in tokens, as the model counted them at its last answer.
    """

    tip: str = ""
    tokens: int = 0
    tools: str = ""
    """Fingerprint of the tools that the model was last given."""
    _entries: dict[str, Entry] = PrivateAttr(default_factory=dict[str, Entry])

    def entries(self) -> dict[str, Entry]:
        """Return the entries of a conversation outside any run, by ``entry_id``. Empty inside a run."""
        return self._entries
