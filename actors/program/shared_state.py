"""The state that a workflow or session declares: what its code works with, and which changes were reported."""

from pydantic import BaseModel

from greenroom.actors.definitions.definitions import WorkflowDefinition
from greenroom.actors.definitions.sessions import SessionDefinition
from greenroom.actors.values.conversion import state_text, write_state
from greenroom.messages.core.json_text import text_of
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import StartProgram


class SharedState:
    """The state of one program. Used on the program's loop only.

    Attributes:
        value: The instance that the code works with. None before ``begin``, or if the definition declares no state.
    """

    def __init__(self, definition: WorkflowDefinition | SessionDefinition) -> None:
        """Begin without a value."""
        self.value: BaseModel | None = None
        self._definition = definition
        self._reported: Json = None
        """The newest state that a turn has reported."""
        self._readable: Json = None
        """The newest state that is known to be readable."""
        self._hidden = False

    def begin(self, start: StartProgram) -> None:
        """Create the first value, which runs code of the user's.

        Raises:
            InvalidInput: A session's recorded state no longer fits its model.
            BaseException: Whatever the model raises.
        """
        self.value = self._definition.first_state(start)
        if self.value is not None:
            self._reported = self._readable = state_text(self.value)

    def hide(self) -> None:
        """Report no further changes."""
        self._hidden = True

    def changed(self) -> Json:
        """Return the state if it differs from the one reported last, and None otherwise.

        Raises:
            BaseException: Whatever ``write`` raises.
        """
        if self._hidden:
            return None
        state = self.write()
        if text_of(state) == text_of(self._reported):  # as values True equals 1, and 1.0 does
            return None
        self._reported = state
        return state

    def write(self) -> Json:
        """Return the state as JSON; None if there is none.

        Raises:
            NotSerializable: It cannot be written as JSON, or could not be read again.
            BaseException: Whatever a serializer of the user's raises.
        """
        if self.value is not None:
            owner = f"the state of {self._definition.title}"
            self._readable = write_state(self.value, owner, self._readable)
        return self._readable
