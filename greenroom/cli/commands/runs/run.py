"""``greenroom run``: start a workflow, or resume a run, and follow it to its result."""

import difflib
import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import click

from greenroom.cli.command_group import Imports, budget_of, common, imports, pass_settings, quiet
from greenroom.cli.display.values import emit, note, say
from greenroom.cli.inputs import Number, is_utf8, read_json
from greenroom.cli.settings import Settings


@click.command()
@click.argument("target", metavar="[FILE.py:NAME]", required=False)
@click.option("-i", "pairs", metavar="KEY=VALUE", multiple=True, help="One input. May be repeated; wins over --input.")
@click.option(
    "--input", "document", metavar="JSON|@FILE|-", help="All inputs as a JSON object, a file of one, or stdin."
)
@click.option(
    "--budget",
    "limits",
    metavar="NAME=N",
    multiple=True,
    help="What the run may use up: usd, tokens, wall (seconds) or attempts, or unknown_price=allow; may be repeated.",
)
@click.option("--id", "run_id", metavar="ID", help="Id of the run. If there is a run with this id, it continues.")
@click.option(
    "--detach", is_flag=True, help="Print the id of the run once it is in the journal, and do not wait for its end."
)
@click.option(
    "--timeout",
    type=Number(min=0),
    metavar="S",
    help="Seconds to wait; then exit 124, or 6 where it waits for a person. The run is kept.",
)
@quiet
@imports
@common
@pass_settings
def run(  # noqa: PLR0913, PLR0917  the verb's options
    settings: Settings,
    target: str | None,
    pairs: tuple[str, ...],
    document: str | None,
    limits: tuple[str, ...],
    run_id: str | None,
    timeout: float | None,
    detach: bool,  # noqa: FBT001  click hands flags over by name
    quiet: bool,  # noqa: FBT001  the same
    imports: Imports,
) -> int:
    """Start the workflow NAME of FILE.py and follow it; its result is printed as JSON.

    If an orchestrator is running on the home, the run is submitted to it. Otherwise this process is the orchestrator
    until the run, and all runs that others submit to it, are done.

    What its code prints goes to stderr, each line after the step that it comes from; `runs logs ID` shows it later.

    With the --id of an existing run, that run continues where it was, also if it was parked or paused; inputs may be
    left out. Without FILE.py:NAME nothing is started: a run with this id must exist.
    """
    from greenroom.cli.hosting.following import carry_out, detached
    from greenroom.cli.hosting.run_request import RunRequest

    if target is None and run_id is None:
        msg = "give FILE.py:NAME to start a workflow, or --id ID to continue a run"
        raise click.UsageError(msg)
    if detach and timeout is not None:
        msg = "--timeout limits the wait for the result, and --detach does not wait: leave one of them out"
        raise click.UsageError(msg)
    inputs = parse_inputs(pairs, document)
    if target is None and inputs is not None:
        msg = "inputs are for a workflow: give FILE.py:NAME too, or leave the inputs out"
        raise click.UsageError(msg)
    app, workflow = (None, None) if target is None else parse_target(target)
    asked = RunRequest.of(settings.home, app, workflow, inputs, run_id, timeout)
    request = replace(asked, quiet=quiet, imports=imports, budget=budget_of(limits))
    if not detach:
        return carry_out(settings, request)
    durable, where = detached(settings, request)
    if settings.json:
        emit({"run_id": durable})
    else:
        say(durable)
    note(where)
    return 0


def parse_target(target: str) -> tuple[str, str]:
    """Split ``FILE.py:NAME``."""
    file, colon, workflow = target.rpartition(":")
    if not colon or not workflow:
        msg = f"{target!r} names no workflow; write FILE.py:NAME"
        raise click.BadParameter(msg, param_hint="FILE.py:NAME")
    return find_app(file, "FILE.py:NAME"), workflow


def find_app(file: str, hint: str) -> str:
    """Return the app that was typed. A path becomes absolute, since workers do not share the working folder.

    ``package.module`` becomes the path of its file if the working folder has it, so that an app has one name however it
    is typed. Otherwise it stays as it is, for installed apps.

    Args:
        file: The argument.
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
    if not path.is_file() and os.path.lexists(path):
        kind = "a folder, not a file" if path.is_dir() else "not a file" if path.exists() else "a link to nothing"
        msg = f"{file!r} is {kind}"
        raise click.BadParameter(msg, param_hint=hint)
    if not path.is_file():
        close = difflib.get_close_matches(
            path.name, [near.name for near in path.parent.glob("*.py") if near.is_file()], n=1
        )
        near = f"; did you mean {str(path.with_name(close[0]))!r}?" if close else f" in {Path.cwd()}"
        msg = f"there is no file {file!r}{near}"
        raise click.BadParameter(msg, param_hint=hint)
    if path.suffix != ".py":
        msg = f"{file!r} is not a Python file; its name has to end in .py"
        raise click.BadParameter(msg, param_hint=hint)
    app = str(path.resolve())
    if not is_utf8(app):
        msg = f"the path {app!r} holds bytes that are not UTF-8: rename it"
        raise click.BadParameter(msg, param_hint=hint)
    return app


def _module_file(name: str) -> Path | None:
    """Return the file of the working folder's module with exactly this name, None if there is none."""
    from greenroom.actors.definitions.definition_site import module_of

    place = Path.cwd().joinpath(*name.split("."))
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file() and module_of(file) == (Path.cwd(), name):
            return file
    return None


def _is_installed(name: str) -> bool:
    """Return whether a module without dots can be imported, without importing it."""
    from importlib.util import find_spec

    with suppress(ValueError, ImportError):
        return find_spec(name) is not None
    return False


def parse_inputs(pairs: tuple[str, ...], document: str | None) -> dict[str, Any] | None:
    """Merge the inputs. Values of ``-i`` stay strings: the worker converts them by the workflow's signature."""
    if not pairs and document is None:
        return None
    inputs: dict[str, Any] = {}
    if document is not None:
        parsed = read_json(document, "--input")
        if not isinstance(parsed, dict):
            msg = f"it has to be a JSON object of inputs by name, not {json.dumps(parsed)[:40]}"
            raise click.BadParameter(msg, param_hint="--input")
        inputs = cast("dict[str, Any]", parsed)
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            msg = f"{pair!r} is not KEY=VALUE"
            raise click.BadParameter(msg, param_hint="-i")
        inputs[key] = value
    return inputs
