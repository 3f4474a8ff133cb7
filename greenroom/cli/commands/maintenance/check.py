"""``greenroom check``: whether the present code still fits the unfinished runs."""

from typing import TYPE_CHECKING

import click

from greenroom.cli.command_group import common, pass_settings
from greenroom.cli.display.values import emit, look, note, table
from greenroom.cli.exit_codes import RUN_FAILED
from greenroom.cli.settings import Settings
from greenroom.cli.targets import find_app

if TYPE_CHECKING:
    from greenroom.workflows.control.checks.replay_check import CheckRecord

WORDS = {"equal": "equal", "differs": "differs", "unloadable": "cannot be loaded"}


@click.command()
@click.argument("file", metavar="[FILE.py]", required=False)
@common
@pass_settings
def check(settings: Settings, file: str | None) -> int:
    """Replay the unfinished runs of the home with the present code, and report those that it does not fit.

    No step is run and nothing is written, with an orchestrator running or not. With FILE.py only runs of files of that
    name are replayed, with the code of this one: so a journal from elsewhere can be checked before the code goes there.
    The exit code is 0 if all are equal, 1 if some are not.
    """
    from greenroom.messages.core.errors import RunNotFound
    from greenroom.workflows.control.checks.replay_check import ReplayChecker

    app = find_app(file, "FILE.py") if file is not None else None
    found: list[CheckRecord] = []
    try:
        with look(settings.home) as reads, ReplayChecker() as checker:
            found = checker.check(reads, app)
    except RunNotFound as error:  # no journal yet, so nothing can differ
        note(str(error))
    if settings.json:
        emit(found)
    else:
        table(("run", "workflow", "version", "status", "code", "why"), map(_row, found))
    return RUN_FAILED if any(record.verdict != "equal" for record in found) else 0


def _row(record: "CheckRecord") -> tuple[object, ...]:
    code = WORDS[record.verdict] + (", changed" if record.changed and record.verdict == "equal" else "")
    return (record.run_id, record.workflow, record.version, record.status, code, record.reason)
