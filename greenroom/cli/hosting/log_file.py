"""The structured log of a command that runs an orchestrator."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from greenroom.workflows.home.home import Home


def log_to_home(home: "Home", secrets: Iterable[str] = ()) -> None:
    """Log to ``log.jsonl`` in the home, one JSON object per line: stderr is for progress and errors.

    Args:
        home: The home.
        secrets: Values to mask in each line.
    """
    from greenroom.metrics.log import configure

    configure(path=home.path / "log.jsonl", secrets=secrets, place=lambda text: home.placed(text, anywhere=True))
