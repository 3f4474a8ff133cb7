"""``greenroom approvals``: questions of runs to people, and decisions."""

import json
from typing import TYPE_CHECKING, Any

import click

from greenroom.cli.command_group import Verbs, common, pass_settings
from greenroom.cli.display.values import ago, emit, look, note, say, table
from greenroom.cli.inputs import read_json
from greenroom.cli.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from greenroom.messages.records.approvals import ApprovalDecision
    from greenroom.messages.records.records import ApprovalRecord


@click.group(cls=Verbs)
@common
def approvals() -> None:
    """Show what runs ask people, and decide."""


@approvals.command("list")
@click.option("--run", "run_id", metavar="ID", help="Only those of this run and its children.")
@common
@pass_settings
def list_approvals(settings: Settings, run_id: str | None) -> None:
    """List the open approvals, oldest first. Needs no running orchestrator."""
    from greenroom.messages.core.errors import RunNotFound
    from greenroom.messages.core.json_text import plain

    found: list[ApprovalRecord] = []
    try:
        with look(settings.home) as reads:
            found = reads.approvals(run_id)
    except RunNotFound as error:  # no journal yet: an empty list is the answer
        if run_id is not None:
            raise
        note(str(error))
    if settings.json:
        emit(found)
        return
    rows = [
        (
            each.id,
            each.workflow,
            ago(each.asked_at),
            each.action,
            json.dumps(plain(each.args), ensure_ascii=False),
            each.reason,
        )
        for each in found
    ]
    table(("approval", "workflow", "age", "action", "args", "reason"), rows)


def _decision(verb: "Callable[..., None]") -> Any:
    """Turn a function into a verb that decides."""
    options = (
        click.argument("approval", metavar="ID"),
        click.option("--comment", default="", help="Why; it is kept with the run."),
        click.option("--by", help="Who decides. Default: your login name."),
        common,
        pass_settings,
    )
    for option in reversed(options):
        verb = option(verb)
    return approvals.command()(verb)


@_decision
def approve(settings: Settings, approval: str, comment: str, by: str | None) -> None:
    """Approve what a run asks."""
    _decide(settings, approval, "approve", None, comment, by)


@_decision
def reject(settings: Settings, approval: str, comment: str, by: str | None) -> None:
    """Reject what a run asks."""
    _decide(settings, approval, "reject", None, comment, by)


@_decision
@click.option(
    "--args", "document", required=True, metavar="JSON|@FILE|-", help="The arguments, or the result, to use instead."
)
def edit(settings: Settings, approval: str, comment: str, by: str | None, document: str) -> None:
    """Approve with other arguments, or with another result than the rejected one."""
    _decide(settings, approval, "edit", read_json(document, "--args"), comment, by)


def _decide(
    settings: Settings, approval: str, decision: "ApprovalDecision", args: Any, comment: str, by: str | None
) -> None:
    from greenroom.messages.commands import DecideApproval
    from greenroom.workflows.api.approvals import check_decision
    from greenroom.workflows.control.access.control_socket import ask

    with look(settings.home) as reads:
        reads.find_approval(approval)
    by = _login() if by is None else by
    command = DecideApproval(approval=approval, decision=decision, args=args, comment=comment, by=by)
    check_decision(ask(settings.home, command))
    if settings.json:
        emit({"approval": approval, "decision": decision})
    else:
        done = {"approve": "approved", "reject": "rejected", "edit": "edited"}[decision]
        say(f"approval {approval} is {done}")


def _login() -> str:
    """Return the login name of the person; empty if the system has none."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
