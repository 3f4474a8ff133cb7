"""What the options common to all verbs say, for the process that was started with them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from greenroom.workflows.home.home import Home


@dataclass(slots=True)
class Settings:
    """What the options common to all verbs say."""

    directory: str | None = None
    journal: str | None = None
    output: str = "table"

    @property
    def home(self) -> "Home":
        """The home that is meant, with the journal that is meant.

        Raises:
            JournalError: What lies beside the journal that was named may be somebody else's.
        """
        from greenroom.workflows.home.home import Home

        return Home.find(self.directory, self.journal)

    @property
    def json(self) -> bool:
        """Whether stdout belongs to JSON alone."""
        return self.output == "json"


typed: list[Settings] = []
"""What the command line of this process says, once it is being read."""
