"""Where the structured log goes while a verb hosts an orchestrator."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from understudy.workflows.home import Home


def log_to_home(home: "Home") -> None:
    """Log to ``log.jsonl`` in the home, one JSON line per event: stderr belongs to progress and errors."""
    from understudy.metrics.log import configure

    configure(path=home.path / "log.jsonl")
