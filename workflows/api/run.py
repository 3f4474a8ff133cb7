"""``run``: run a workflow to its result, inside or outside of a workflow."""

from typing import Any

from greenroom.actors.context import program
from greenroom.actors.failures.tracebacks import outside
from greenroom.messages.core.errors import GreenroomError
from greenroom.workflows.authoring.workflow import Workflow, check_workflow


def run(workflow: Workflow[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Run a workflow to its end.

    Inside a workflow this returns an awaitable, a child run, as calling ``workflow`` there does. Anywhere else it
    starts an orchestrator on the default home, waits for the run to end, and returns its result. On the thread of an
    event loop that blocks the loop, and warns: ``await asyncio.to_thread(run, workflow, ...)`` does not.

    Args:
        workflow: The workflow.
        args: Its arguments.
        kwargs: Its keyword arguments. Outside of workflows ``id`` is the identity of the run, unless the workflow has a
            parameter of that name.

    Raises:
        RunFailed: The run failed.
        RunCancelled: The run was cancelled.
        RunParked: The run waits for a person.
        HomeInUse: Outside of workflows: another orchestrator owns the default home.
        TypeError: ``workflow`` is not a workflow.
    """
    check_workflow(workflow)
    if program.get() is not None:
        return workflow(*args, **kwargs)
    from greenroom.workflows.api.orchestrator import Orchestrator  # noqa: PLC0415  programs never need it
    from greenroom.workflows.api.threads import warn_on_loop  # noqa: PLC0415  the same

    warn_on_loop("run()", "await asyncio.to_thread(run, ...)")
    __tracebackhide__ = True  # pytest then starts its report at the caller's line
    names = {parameter.name for parameter in workflow.definition.signature.parameters}
    run_id = kwargs.pop("id", None) if "id" not in names else None
    arguments = workflow.bind(*args, **kwargs)
    with Orchestrator() as orchestrator:
        # `start` would take `id` for its own, and `result` would warn in its own words.
        started = orchestrator._start_bound(workflow, arguments, run_id)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        try:
            return started._result()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        except GreenroomError as error:
            raise outside(error)  # noqa: B904  the same error
