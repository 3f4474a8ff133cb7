"""``run``: one workflow from start to result, wherever it is called."""

from typing import Any

from understudy.actors.context import program
from understudy.workflows.workflow import Workflow, check_workflow


def run(workflow: Workflow[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a workflow to its end.

    Inside a workflow this gives an awaitable: a child run, the same as calling ``workflow`` there. Anywhere else it
    starts an orchestrator on the default home, waits for the run to end, and gives the result itself.

    Args:
        workflow: What to run.
        args: Its arguments.
        kwargs: Its keyword arguments.

    Raises:
        RunFailed: The run failed.
        RunCancelled: The run was cancelled.
        RunParked: The run waits for a person.
        HomeInUse: Outside of workflows: another orchestrator owns the default home.
        TypeError: It is no workflow.
    """
    check_workflow(workflow)
    if program.get() is not None:
        return workflow(*args, **kwargs)
    from understudy.workflows.orchestrator import Orchestrator  # noqa: PLC0415  programs never need it

    __tracebackhide__ = True  # pytest's: its reports begin with the caller's line
    with Orchestrator() as orchestrator:
        return orchestrator.start(workflow, *args, **kwargs).result()
