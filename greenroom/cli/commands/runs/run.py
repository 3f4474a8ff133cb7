"""``greenroom run``: start a workflow, or resume a run, and follow it to its result."""

import json
from dataclasses import replace
from typing import Any, cast

import click

from greenroom.cli.command_group import Imports, budget_of, common, imports, pass_settings, quiet
from greenroom.cli.display.values import emit, note, say
from greenroom.cli.inputs import Number, read_json
from greenroom.cli.settings import Settings
from greenroom.cli.targets import parse_target


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
