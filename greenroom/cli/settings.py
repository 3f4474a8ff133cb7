"""The options that all verbs share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from greenroom.workflows.home.home import Home


@dataclass(slots=True)
class Settings:
    """Values of the options that all verbs share."""

    directory: str | None = None
    journal: str | None = None
    output: str = "table"

    @property
    def home(self) -> "Home":
        """The home, with its journal.

        Raises:
            JournalError: A file beside the named journal may belong to another user.
        """
        from greenroom.workflows.home.home import Home

        return Home.find(self.directory, self.journal)

    @property
    def json(self) -> bool:
        """Whether stdout carries JSON only."""
        return self.output == "json"


typed: list[Settings] = []
"""The settings of this process, once the command line is being parsed."""
