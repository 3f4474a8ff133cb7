"""The logs of a command that runs an orchestrator: the structured one, and the output of one in the background."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from greenroom.workflows.home.home import Home


def log_to_home(home: "Home", secrets: Iterable[str] = ()) -> None:
    """Log to ``log.jsonl`` in the home, one JSON object per line: stderr is for progress and errors.

    Args:
        home: The home.
        secrets: Values to mask in each line.

    Raises:
        JournalError: The file cannot be written.
    """
    from greenroom.metrics.log import configure
    from greenroom.workflows.home.private_files import writing

    path = home.path / "log.jsonl"
    with writing(path):
        configure(path=path, secrets=secrets, place=lambda text: home.placed(text, anywhere=True))


def open_output(home: "Home") -> int:
    """Open ``orchestrator.log`` in the home, and return its descriptor.

    Raises:
        JournalError: The file cannot be written.
    """
    from greenroom.messages.secrets.file_trust import open_private
    from greenroom.workflows.home.private_files import writing

    path = home.path / "orchestrator.log"
    with writing(path):
        return open_private(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
