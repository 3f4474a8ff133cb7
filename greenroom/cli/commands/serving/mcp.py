"""``greenroom mcp``: a running orchestrator as an MCP server on standard input and output."""

from typing import TYPE_CHECKING

import click

from greenroom.cli.command_group import common, pass_settings
from greenroom.cli.settings import Settings

if TYPE_CHECKING:
    import httpx


@click.command()
@click.option("--url", metavar="URL", help="Address of the orchestrator. Default: the one that serves the home.")
@click.option("--no-decisions", is_flag=True, help="Offer no tool that decides approvals.")
@common
@pass_settings
def mcp(settings: Settings, url: str | None, no_decisions: bool) -> None:  # noqa: FBT001  click hands flags over by name
    """Offer runs, sessions and approvals of a served orchestrator as MCP tools, over standard input and output.

    For the configuration of an MCP client: the command is `greenroom mcp --home DIR`. The orchestrator is the one that
    `greenroom serve` runs. GREENROOM_TOKEN gives the token, else it is read from the home.
    """
    check_extras()
    from greenroom.workflows.api.client.client import find_wire
    from greenroom.workflows.api.client.mcp_tools import mcp_server

    def connect() -> "httpx.AsyncClient":  # looks anew each time: another orchestrator may serve the home meanwhile
        return find_wire(url, None, settings.home.path).asynchronous()

    wire = find_wire(url, None, settings.home.path)
    wire.get("/runs", limit=1)  # an orchestrator that cannot be reached is reported now, not at the first call
    try:
        mcp_server(connect, decisions=not no_decisions).run()
    except* BrokenPipeError:
        pass  # the client has ended before it was answered


def check_extras() -> None:
    """Check that the packages are installed that MCP clients are answered with."""
    from importlib.util import find_spec

    from greenroom.messages.advice import install

    for package, extra in (("mcp", "mcp"), ("httpx", "client")):
        if find_spec(package) is None:
            msg = f"answering MCP clients needs {package}: {install(extra)}"
            raise click.ClickException(msg)
