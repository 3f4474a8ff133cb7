"""Exported runs as tests: a run of production is replayed with the present code."""

from os import PathLike
from pathlib import Path
from typing import Protocol

from greenroom.actors.definitions.definitions import Definition
from greenroom.workflows.control.checks.export_replay import replay
from greenroom.workflows.control.checks.replay_check import ReplayChecker
from greenroom.workflows.queries.run_export import read_export


class Defined(Protocol):
    """A workflow or a session's handler, as the decorators return them."""

    @property
    def definition(self) -> Definition:
        """Its definition."""
        ...


class ReplayDiffers(AssertionError):  # noqa: N818  it reads as what happened
    """The present code does not do what an exported run did. The message is the first difference."""


def replay_export(path: str | PathLike[str], workflow: Defined) -> None:
    """Replay a file of ``greenroom runs export`` with the present code of its workflow or session.

    The code runs in a process of its own and is given the recorded outcome of each call. No tool, model or child runs,
    no time passes, and nothing is recorded. The calls, their order and arguments, and the result or the exception at
    the end are compared. A run that had not ended when it was exported is replayed as far as it went. Of a session,
    each handled message is replayed.

    Args:
        path: The file.
        workflow: The workflow, or the session's handler, as the app defines it.

    Raises:
        ReplayDiffers: The code asks for something else, ends in another way, or cannot be loaded.
        ValueError: It is not an export file, is damaged, was written by a newer version, or is of another workflow.
        OSError: The file cannot be read.
        TypeError: It is neither a workflow nor a handler.
    """
    if not hasattr(workflow, "definition"):
        msg = f"a file is replayed with its workflow, or its session's handler, not with {workflow!r:.200}"
        raise TypeError(msg)
    file = Path(path)
    export = read_export(file)
    definition, header = workflow.definition, export.header
    if definition.kind != ("session" if header.kind == "session" else "workflow") or definition.name != header.workflow:
        held = f"{'session' if header.kind == 'session' else 'workflow'} `{header.workflow}`"
        msg = f"{file} holds a run of {held}, and the test replays it with {definition.title}"
        raise ValueError(msg)
    with ReplayChecker() as checker:
        difference = replay(export, definition.app, checker)
    if difference:
        msg = f"{header.kind} {header.run_id} of {file}: {difference}"
        raise ReplayDiffers(msg)
