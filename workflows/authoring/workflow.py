"""Workflows: coroutine functions whose awaits are journaled."""

import inspect
from collections.abc import Callable, Coroutine, Mapping
from copy import copy
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast

from pydantic import BaseModel

from greenroom.actors.context import ProgramPort, program
from greenroom.actors.definitions.definitions import WorkflowDefinition
from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.message import Json
from greenroom.messages.core.other_names import OtherNames
from greenroom.messages.options.policy import Budget
from greenroom.workflows.authoring.step import Call, Step, present

P = ParamSpec("P")
R = TypeVar("R")


class Workflow(OtherNames, Generic[P, R]):
    """A coroutine function that survives its process.

    ``Orchestrator.start`` starts it as a run. Awaited inside another workflow it is a child run; awaited anywhere else
    it runs in place, with a fresh state if it declares one. Callers never pass the state.
    """

    def __init__(self, definition: WorkflowDefinition) -> None:
        """Wrap a definition; made by ``workflow``."""
        self.definition = definition
        self.name = definition.name
        self.budget = definition.budget
        present(self, definition.fn)

    @property
    def fn(self) -> Callable[..., Coroutine[Any, Any, R]]:
        """The plain function, its state parameter included."""
        return self.definition.fn

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """Call the workflow; nothing runs before the coroutine is awaited or made a task.

        Raises:
            InvalidInput: Inside a workflow: the arguments do not fit the signature; every invalid field is named.
            DefinitionError: Inside a workflow: workers cannot find this one.
            TypeError: Elsewhere: the arguments do not fit the function.
        """
        port = program.get()
        if port is not None:
            _ = self.definition.app  # raises DefinitionError if workers cannot find it
            return self._run_as_child(port, self.bind(*args, **kwargs))
        self.definition.signature.check(args, kwargs)
        state = self.definition.fresh_state()
        return self.fn(*args, **kwargs) if state is None else self.fn(state, *args, **kwargs)

    def options(self, *, budget: Budget | None) -> Self:
        """Return a copy whose runs have another budget, which they share with their children.

        Example: ``orchestrator.start(research.options(budget=Budget(usd=0.5)), "otters")``.
        """
        changed = copy(self)
        changed.budget = check_budget(self.definition.title, budget)
        return changed

    def __repr__(self) -> str:
        """Describe the workflow in a few words."""
        return f"<{self.definition.title} of {self.definition.site.module}>"

    def bind(self, /, *args: P.args, **kwargs: P.kwargs) -> dict[str, Json]:
        """Return a call's arguments as JSON by parameter name, with defaults filled in.

        Raises:
            InvalidInput: They do not fit the signature; every invalid field is named.
            NotSerializable: One cannot be written as JSON.
        """
        return self.definition.bind(*args, **kwargs)

    def bind_json(self, arguments: dict[str, Json]) -> dict[str, Json]:
        """Return arguments given as JSON, or as words of a command line, in the form of ``bind``.

        Raises:
            InvalidInput: They do not fit the signature; every invalid field is named.
        """
        return self.definition.bind_json(arguments)

    def call(self, arguments: dict[str, Json], state: BaseModel | None = None) -> Coroutine[Any, Any, R]:
        """Call the function with arguments as ``bind`` returns them."""
        return self.definition.call(arguments, state)

    def encode_result(self, value: object) -> Json:
        """Return a result as JSON.

        Raises:
            NotSerializable: It does not fit the return annotation, or cannot be written as JSON.
        """
        return self.definition.encode_result(value)

    def decode_result(self, json: Json) -> R:
        """Return the result that recorded JSON stands for.

        Raises:
            InvalidInput: It does not fit the return annotation.
        """
        return cast("R", self.definition.decode_result(json))

    async def _run_as_child(self, port: ProgramPort, arguments: dict[str, Json]) -> R:
        found = self.definition
        result = await port.call_child(
            workflow=self.name,
            arguments=arguments,
            version=found.version,
            fingerprint=found.fingerprint,
            budget=self.budget,
        )
        return self.decode_result(result)


def check_budget(title: str, budget: object) -> Budget | None:
    """Return a budget or None.

    Raises:
        DefinitionError: It is neither.
    """
    if budget is None or isinstance(budget, Budget):
        return budget
    msg = f"the budget of {title} is a Budget, such as Budget(usd=0.5), not {budget!r:.200}"
    raise DefinitionError(msg)


def refuse_twofold(
    method: str, workflow: "Workflow[..., Any]", args: tuple[Any, ...], given: Mapping[str, object]
) -> None:
    """Check that no option of a method is also the name of a parameter of the workflow.

    Args:
        method: Name of the method, for the error.
        workflow: The workflow.
        args: Arguments passed by position, which fill the first parameters.
        given: Options by name; None for one that was not given.

    Raises:
        TypeError: An option could also be meant for a parameter.
    """
    open_ = [parameter.name for parameter in workflow.definition.signature.parameters[len(args) :]]
    for name, value in given.items():
        if value is not None and name in open_:
            title = workflow.definition.title
            msg = (
                f"`{name}` is an option of {method}() and a parameter of {title}, and {name}={value!r:.100} could be "
                f"either. Give the one of {title} by position and that of {method}() by name, or rename the parameter"
            )
            raise TypeError(msg)


def check_workflow(given: object) -> None:
    """Check that a value is a workflow.

    Raises:
        TypeError: It is not.
    """
    if isinstance(given, Workflow):
        return
    if isinstance(given, Step):
        msg = f"{given!r} is a step, and only workflows are started as runs: await it in a function with @workflow"
    elif inspect.iscoroutine(given):
        given.close()  # else Python would warn that it was never awaited
        name = given.__name__
        msg = f"what is started is the workflow, not its call: start({name}, ...) in place of start({name}(...))"
    else:
        msg = f"only a function decorated with @workflow can be started as a run, not {given!r:.200}"
    raise TypeError(msg)
