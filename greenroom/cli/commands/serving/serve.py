"""``greenroom serve``: an orchestrator, its HTTP API and its dashboard until Ctrl+C."""

import signal
from queue import SimpleQueue
from typing import TYPE_CHECKING

import click

from greenroom.cli.command_group import Imports, common, imports, pass_settings, quiet
from greenroom.cli.commands.serving.mcp import check_extras
from greenroom.cli.display.values import emit, note, say
from greenroom.cli.interruption import on_first
from greenroom.cli.settings import Settings
from greenroom.cli.targets import find_app

if TYPE_CHECKING:
    from greenroom.dashboard.server import Server
    from greenroom.workflows.api.orchestrator import Orchestrator
    from greenroom.workflows.home.home import Home


@click.command()
@click.argument("files", metavar="FILE.py...", nargs=-1, required=True)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at. If other machines can reach it, a token must exist.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=7878, show_default=True, help="0 takes a free one.")
@click.option(
    "--allow-origin",
    "origins",
    metavar="ORIGIN",
    multiple=True,
    help="Let pages of this origin call from a browser, such as https://app.example; may be repeated.",
)
@click.option("--mcp", is_flag=True, help="Answer MCP clients too, at the path /mcp.")
@quiet
@imports
@common
@pass_settings
def serve(
    settings: Settings,
    files: tuple[str, ...],
    host: str,
    port: int,
    origins: tuple[str, ...],
    mcp: bool,  # noqa: FBT001  click hands flags over by name
    imports: Imports,
    quiet: bool,  # noqa: FBT001  click hands flags over by name
) -> None:
    """Run an orchestrator with its HTTP API until Ctrl+C. The workflows of the FILEs can be started by name.

    Its address shows the dashboard in a browser. The page /docs describes the API for people, and /openapi.json for
    programs.

    Every request needs a token, except those to /healthz and for the pages themselves. It is created the first time,
    shown once, and kept in the file `token` of the home; GREENROOM_TOKEN sets another one. Ctrl+C and SIGTERM end the
    server with exit code 0: unfinished runs are resumed by the next orchestrator of the home. A line on stderr says
    which runs start, end, or wait for a person.

    What the code of runs prints goes to stderr, each line after its run and step; `runs logs ID` shows it later.
    """
    apps = [find_app(file, "FILE.py") for file in files]
    try:
        from greenroom.dashboard.server import Server
    except ModuleNotFoundError as error:
        from greenroom.messages.advice import install

        msg = f"serving needs {error.name}: {install('server')}"
        raise click.ClickException(msg) from error
    if mcp:
        check_extras()
    from greenroom.dashboard.access.origins import read_origin

    for origin in origins:
        try:
            read_origin(origin)
        except ValueError as error:  # checked before anything is started
            raise click.BadParameter(str(error), param_hint="--allow-origin") from error
    from greenroom.cli.display.progress import tell_of_delays
    from greenroom.cli.display.serve_news import told
    from greenroom.cli.hosting.log_file import log_to_home
    from greenroom.cli.hosting.ownership import open_orchestrator, settle
    from greenroom.messages.commands import ShowApp
    from greenroom.messages.refusals import check
    from greenroom.workflows.output.live_view import Printer

    output = False if quiet else Printer(runs=True)

    def become() -> "Orchestrator":  # refused at once by an orchestrator that takes commands
        return open_orchestrator(settings, output=output, imports=imports)

    try:
        with told(), settle(settings, become, become) as orchestrator:
            tell_of_delays(orchestrator)
            for app in apps:  # an app that cannot be loaded is reported now, not at its first start
                check(orchestrator.send(ShowApp(app=app)))
            with Server(orchestrator, apps, host=host, port=port, allow_origins=origins, mcp=mcp) as server:
                log_to_home(orchestrator.home, secrets=[server.token.value, *imports.secrets()])
                ends = _heard_ends()
                _say(settings, orchestrator.home, server)
                _wait(orchestrator, ends)
            note(
                "stopping; steps that run have a moment to end (Ctrl+C: at once), and the runs that go on are taken up "
                "next time"
            )
    except KeyboardInterrupt:
        note("stopped before the server was ready")


def _heard_ends() -> "SimpleQueue[None]":
    """Return a queue that gets an item with the first Ctrl+C or SIGTERM. A later one ends the process at once."""
    ends: SimpleQueue[None] = SimpleQueue()
    end = on_first(lambda _number: ends.put(None))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    return ends


def _wait(orchestrator: "Orchestrator", ends: "SimpleQueue[None]") -> None:
    """Wait for a signal, or for the end of the orchestrator.

    Uses a queue, because a signal handler may call its ``put`` at any moment. No run has an empty id, so watching that
    id reports the end of the orchestrator only.

    Raises:
        OrchestratorClosed: The journal failed.
    """
    unwatch = orchestrator.watch("", lambda: ends.put(None), end_only=True)
    ends.get()  # a new watcher is called once at the start
    ends.get()
    unwatch()
    orchestrator.check_alive()


def _say(settings: Settings, home: "Home", server: "Server") -> None:
    kept = str(home.token) if home.token.exists() else None
    if settings.json:
        facts = {"url": server.url, "token_file": kept}
        emit({**facts, "token": server.token.value} if server.token.made else facts)
        return
    say(f"serving on {server.url}")
    if server.token.made:
        say(f"the token, shown this once and kept in {kept}:")
        say(server.token.value)
