"""``understudy serve``: an orchestrator and its HTTP API until Ctrl+C."""

import signal
from queue import SimpleQueue
from typing import TYPE_CHECKING

import click

from understudy.cli.run import find_app
from understudy.cli.show import emit, note, say
from understudy.cli.verbs import Imports, Settings, common, imports, pass_settings

if TYPE_CHECKING:
    from understudy.dashboard.server import Server
    from understudy.workflows.orchestrator import Orchestrator


@click.command()
@click.argument("files", metavar="FILE.py...", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen. Others than this need a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=7878, show_default=True, help="0 takes a free one.")
@imports
@common
@pass_settings
def serve(settings: Settings, files: tuple[str, ...], host: str, port: int, imports: Imports) -> None:
    """Run an orchestrator with its HTTP API until Ctrl+C. The workflows of the FILEs can be started by name.

    Everyone has to show a token. It is made the first time, shown once, and kept in the file `token` of the home;
    UNDERSTUDY_TOKEN sets another one. Ctrl+C and SIGTERM end it with exit code 0: what was going on is taken up by the
    next orchestrator of the home.
    """
    apps = [find_app(file, "FILE.py") for file in files]
    try:
        from understudy.dashboard.server import Server
    except ModuleNotFoundError as error:
        msg = f"serving needs {error.name}: install `understudy[server]`"
        raise click.ClickException(msg) from error
    from understudy.cli.logs import log_to_home
    from understudy.cli.progress import tell_of_slow_imports
    from understudy.messages.commands import ShowApp
    from understudy.workflows.handle import check
    from understudy.workflows.orchestrator import Orchestrator

    ends: SimpleQueue[None] = SimpleQueue()

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)  # whoever asks twice does not want to wait
        ends.put(None)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with Orchestrator(home=settings.home.path, **imports.options) as orchestrator:
        tell_of_slow_imports(orchestrator)
        for app in apps:  # what cannot be loaded is said now, and not to whoever asks for it first
            check(orchestrator.send(ShowApp(app=app)))
        with Server(orchestrator, apps, host=host, port=port) as server:
            log_to_home(settings.home, secrets=[server.token.value, *imports.secrets()])
            _say(settings, server)
            _wait(orchestrator, ends)
        note(
            "stopping; steps that run have a moment to end (Ctrl+C: at once), and the runs that go on are taken up "
            "next time"
        )


def _wait(orchestrator: "Orchestrator", ends: "SimpleQueue[None]") -> None:
    """Wait for a signal, or for the orchestrator's own end.

    A queue, because its ``put`` may be called by a signal handler whatever this thread is doing. No run has an empty
    id: who watches that hears of nothing but the end of everything.

    Raises:
        OrchestratorClosed: Its journal failed.
    """
    unwatch = orchestrator.watch("", lambda: ends.put(None), end_only=True)
    ends.get()  # to watch is to be called once at the start
    ends.get()
    unwatch()
    orchestrator.check_alive()


def _say(settings: Settings, server: "Server") -> None:
    home = settings.home
    kept = str(home.token) if home.token.exists() else None
    if settings.json:
        facts = {"url": server.url, "token_file": kept}
        emit({**facts, "token": server.token.value} if server.token.made else facts)
        return
    say(f"serving on {server.url}")
    if server.token.made:
        say(f"the token, shown this once and kept in {kept}:")
        say(server.token.value)
