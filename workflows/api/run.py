"""``run``: one workflow from start to result, wherever it is called."""

from typing import Any

from greenroom.actors.context import program
from greenroom.workflows.authoring.workflow import Workflow, check_workflow


def run(workflow: Workflow[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Run a workflow to its end.

    Inside a workflow this gives an awaitable: a child run, the same as calling ``workflow`` there. Anywhere else it
    starts an orchestrator on the default home, waits for the run to end, and gives the result itself.

    Args:
        workflow: What to run.
        args: Its arguments.
        kwargs: Its keyword arguments. Outside of workflows ``id`` is the identity of the run where the workflow has no
            parameter of that name.

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
    from greenroom.workflows.api.orchestrator import Orchestrator  # noqa: PLC0415  programs never need it

    __tracebackhide__ = True  # pytest's: its reports begin with the caller's line
    names = {parameter.name for parameter in workflow.definition.signature.parameters}
    run_id = kwargs.pop("id", None) if "id" not in names else None
    arguments = workflow.bind(*args, **kwargs)
    with Orchestrator() as orchestrator:
        return orchestrator._start_bound(workflow, arguments, run_id).result()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  its `id` is another
