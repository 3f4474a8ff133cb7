"""``understudy run``: start a workflow, or go on with a run, and follow it to its result."""

import difflib
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from understudy.cli.exits import INTERRUPTED, TIMEOUT, WAITING
from understudy.cli.show import command_line, emit, look, note, say
from understudy.cli.verbs import Imports, Settings, common, imports, pass_settings

if TYPE_CHECKING:
    from understudy.workflows.handle import Run
    from understudy.workflows.home import Home


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for.

    Attributes:
        target: The target as typed.
        app: Absolute path of the file.
        workflow: Name of the workflow in it.
        inputs: Arguments by name, values as JSON or as words; None where none were given.
        run_id: The id asked for, or None.
        timeout: Seconds to wait for the end, or None.
        imports: How its app is imported.
    """

    target: str
    app: str
    workflow: str
    inputs: dict[str, Any] | None
    run_id: str | None
    timeout: float | None
    imports: Imports


@click.command()
@click.argument("target", metavar="FILE.py:NAME")
@click.option("-i", "pairs", metavar="KEY=VALUE", multiple=True, help="One input. May be repeated; wins over --input.")
@click.option(
    "--input", "document", metavar="JSON|@FILE|-", help="All inputs as a JSON object, a file of one, or stdin."
)
@click.option("--id", "run_id", metavar="ID", help="Identity of the run. One that exists is attached to or resumed.")
@click.option("--detach", is_flag=True, help="Host the run in the background; print its id once it is durable.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="S",
    help="Seconds to wait; then exit 124, or 6 where it waits for a person. The run is kept.",
)
@imports
@common
@pass_settings
def run(
    settings: Settings,
    target: str,
    pairs: tuple[str, ...],
    document: str | None,
    run_id: str | None,
    timeout: float | None,
    detach: bool,  # noqa: FBT001  click hands flags over by name
    imports: Imports,
) -> int:
    """Start the workflow NAME of FILE.py and follow it; its result is printed as JSON.

    With the --id of a run that exists, that run goes on where it stood, also where it was parked or paused; inputs may
    be left out.
    """
    app, workflow = parse_target(target)
    order = Order(target, app, workflow, parse_inputs(pairs, document), run_id, timeout, imports)
    if detach:
        from understudy.cli.background import host_in_background

        durable = host_in_background(settings.home, lambda started: host(settings, order, started))
        if settings.json:
            emit({"run_id": durable})
        else:
            say(durable)
        return 0
    return host(settings, order)


def host(settings: Settings, order: Order, started: Callable[[str], None] | None = None) -> int:
    """Run an orchestrator in this process until the run has ended; give the exit code.

    Args:
        settings: The home, and how to show things.
        order: What to run.
        started: Called with the run's id once it is durable. Given for a run in the background, whose result stays in
            the journal; without it the result is printed.

    Raises:
        UnderstudyError: The run could not be started or did not complete.
    """
    from understudy.cli.logs import log_to_home
    from understudy.cli.progress import follow, tell_of_slow_imports
    from understudy.workflows.orchestrator import Orchestrator

    run_id = order.run_id
    arguments = _recorded(settings.home, order) if order.inputs is None and run_id else order.inputs or {}
    handle: Run[Any] | None = None
    try:
        with Orchestrator(home=settings.home.path, **order.imports.options) as orchestrator:
            log_to_home(settings.home, secrets=order.imports.secrets())
            tell_of_slow_imports(orchestrator)
            try:
                handle = orchestrator.start_app(order.app, order.workflow, arguments, id=run_id)
            except ValueError as error:
                raise click.BadParameter(str(error), param_hint="--id") if run_id else error from error
            if handle.status in {"parked", "paused"}:  # whoever asks for it by its id wants it to go on
                handle.resume()
            if started is not None:
                started(handle.id)
            with follow(handle):
                result = handle.result(order.timeout)
    except TimeoutError:
        assert handle is not None
        asked = open_questions(settings.home, handle.id)
        _kept(settings, order, handle.id, asked or f"has not ended within {order.timeout:g} s")
        return WAITING if asked else TIMEOUT
    except KeyboardInterrupt:
        if handle is None:
            raise
        _kept(settings, order, handle.id, "was interrupted")
        return INTERRUPTED
    if started is None:
        emit(result)
    return 0


def _kept(settings: Settings, order: Order, run_id: str, what: str) -> None:
    home = ["--home", settings.directory] if settings.directory else []
    again = command_line(*home, "run", order.target, "--id", run_id)
    note(f"run {run_id} {what}. Nothing of it is lost; go on with: {again}")


def open_questions(home: "Home", run_id: str) -> str:
    """Say what a run and its children ask people, and how to answer; empty where they ask nothing."""
    with look(home) as reads:
        asked = reads.approvals(run_id)
    questions = "; ".join(f"{record.action} ({record.id})" for record in asked)
    answer = f"decide, while it runs, with `{command_line('approvals', 'approve|reject|edit', 'ID')}`"
    return f"waits for a person: {questions}; {answer}" if asked else ""


def _recorded(home: "Home", order: Order) -> dict[str, Any]:
    """Give the inputs that a run was started with, none where there is no such run yet."""
    from understudy.messages.errors import RunNotFound
    from understudy.messages.events import RunStarted

    try:
        with look(home) as reads:
            first = reads.events(order.run_id or "")[0].event
    except RunNotFound:
        return {}
    assert isinstance(first, RunStarted)
    return dict(first.arguments)


def parse_target(target: str) -> tuple[str, str]:
    """Split ``FILE.py:NAME``."""
    file, colon, workflow = target.rpartition(":")
    if not colon or not workflow:
        msg = f"{target!r} names no workflow; write FILE.py:NAME"
        raise click.BadParameter(msg, param_hint="FILE.py:NAME")
    return find_app(file, "FILE.py:NAME"), workflow


def find_app(file: str, hint: str) -> str:
    """Give the app that was typed. A path is made absolute, since workers do not share our folder.

    ``package.module`` is taken too: the path of its file where that is found from the working folder, so that an app is
    the same one however it is called, and else as it is, for apps that are installed.

    Args:
        file: What was typed.
        hint: The argument's name, for the error.
    """
    path = Path(file)
    if path.is_dir() and (path / "__init__.py").is_file():
        path = path / "__init__.py"
    if path.suffix != ".py" and not path.is_file() and all(part.isidentifier() for part in file.split(".")):
        found = _module_file(file)
        if found is not None:
            return str(found.resolve())
        if "." in file or _is_installed(file):
            return file
    if not path.is_file():
        close = difflib.get_close_matches(path.name, [near.name for near in path.parent.glob("*.py")], n=1)
        near = f"; did you mean {str(path.with_name(close[0]))!r}?" if close else f" in {Path.cwd()}"
        msg = f"there is no file {file!r}{near}"
        raise click.BadParameter(msg, param_hint=hint)
    if path.suffix != ".py":
        msg = f"{file!r} is no Python file; its name has to end in .py"
        raise click.BadParameter(msg, param_hint=hint)
    return str(path.resolve())


def _module_file(name: str) -> Path | None:
    """Give the file of a module of the working folder that goes by just this name, None where there is none."""
    from understudy.actors.site import module_of

    place = Path.cwd().joinpath(*name.split("."))
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file() and module_of(file) == (Path.cwd(), name):
            return file
    return None


def _is_installed(name: str) -> bool:
    """Say whether a module without dots can be imported, without importing it."""
    from importlib.util import find_spec

    with suppress(ValueError, ImportError):
        return find_spec(name) is not None
    return False


def parse_inputs(pairs: tuple[str, ...], document: str | None) -> dict[str, Any] | None:
    """Put the inputs together. Values of ``-i`` stay words: the worker reads them by the workflow's signature."""
    if not pairs and document is None:
        return None
    inputs: dict[str, Any] = {}
    if document is not None:
        text = _text(document)
        try:
            parsed: Any = json.loads(text)
        except ValueError as error:
            msg = f"it is no JSON: {error}"
            raise click.BadParameter(msg, param_hint="--input") from error
        if not isinstance(parsed, dict):
            msg = f"it has to be a JSON object of inputs by name, not {text.strip()[:40]!r}"
            raise click.BadParameter(msg, param_hint="--input")
        inputs = cast("dict[str, Any]", parsed)
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            msg = f"{pair!r} is not KEY=VALUE"
            raise click.BadParameter(msg, param_hint="-i")
        inputs[key] = value
    return inputs


def _text(document: str) -> str:
    if document == "-":
        return sys.stdin.read()
    if not document.startswith("@"):
        return document
    try:
        return Path(document[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{document[1:]!r} cannot be read: {error}"
        raise click.BadParameter(msg, param_hint="--input") from error
