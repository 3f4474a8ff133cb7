"""JSON that is nested too deep to be read is what somebody else wrote, and no error of ours."""

from pathlib import Path
from typing import Any

from greenroom.cli.display.transcript import called
from greenroom.messages.transcript import ToolCall
from greenroom.workflows.home.home import Home
from greenroom.workflows.output import collector

DEEP = "[" * 100_000


def test_arguments_of_a_model_are_shown_as_it_wrote_them() -> None:
    assert called(ToolCall(id="1", name="search", arguments=DEEP)) == f"search({DEEP})"


def test_a_record_of_a_home_counts_as_none(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    home.record.write_text(DEEP)
    home.record.chmod(0o600)
    assert home.read_record() == {}


def test_a_mark_in_the_output_of_a_worker_names_no_job() -> None:
    unused: Any = None
    assert collector._marked_job(DEEP.encode(), unused) is None
