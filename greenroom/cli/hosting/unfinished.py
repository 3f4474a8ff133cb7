"""What to tell about a run that has not ended in time."""

from typing import TYPE_CHECKING

from greenroom.cli.display.values import look, note
from greenroom.cli.exit_codes import TIMEOUT, WAITING
from greenroom.cli.hosting.run_request import RunRequest
from greenroom.messages.advice import approve, go_on, reject

if TYPE_CHECKING:
    from greenroom.workflows.home.home import Home


def not_in_time_code(request: RunRequest, home: "Home", where: str = "") -> int:
    """Tell that a run has not ended in time, and how to come back to it; return the exit code."""
    asked = open_questions(home, request.run_id)
    what = asked or f"has not ended within {request.timeout:g} s"
    if where:
        note(f"run {request.run_id} {what}. It {where}; come back to it with: {go_on(request.run_id)}")
    else:
        note(f"run {request.run_id} {what}. Nothing of it is lost; go on with: {go_on(request.run_id)}")
    return WAITING if asked else TIMEOUT


def open_questions(home: "Home", run_id: str) -> str:
    """Return the open approvals of a run and its children, and how to decide them; empty if there are none."""
    with look(home) as reads:
        asked = reads.approvals(run_id)
    if not asked:
        return ""
    questions = "; ".join(f"{record.action} ({record.id})" for record in asked)
    first = asked[0].id
    return f"waits for a person: {questions}; decide, while it runs, with {approve(first)} or {reject(first)}"
