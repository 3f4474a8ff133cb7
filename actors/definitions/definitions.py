"""What an app defines: its workflows and steps, each known by a reference that is the same in every process.

A reference is ``module:qualname``. Decorators register definitions while an app is imported; workers look them up by
the references that messages carry, and nothing is ever imported because a message names it.
"""

from collections.abc import Callable, Coroutine, Mapping
from difflib import get_close_matches
from functools import cached_property
from inspect import Parameter
from typing import Any, Final, Literal, TypeAlias, TypeGuard, TypeVar

from pydantic import BaseModel

from greenroom.actors.context import program
from greenroom.actors.definitions.definition_site import Site
from greenroom.actors.definitions.fingerprint import fingerprint
from greenroom.actors.definitions.signature import Signature
from greenroom.messages.core.errors import DefinitionError, InvalidInput, NotSerializable
from greenroom.messages.core.failures import Fault
from greenroom.messages.core.message import Json, Shown
from greenroom.messages.frames.worker import ArgumentsChecked, ResultChecked, StartProgram
from greenroom.messages.frames.worker import Definition as DefinitionRecord
from greenroom.messages.policy import Budget, StepKind, StepOptions

Kind: TypeAlias = Literal["workflow", "session", "tool", "llm", "evaluator"]
_WORDS: Final[dict[Kind, str]] = {
    "workflow": "workflow",
    "session": "session",
    "tool": "tool",
    "llm": "LLM",
    "evaluator": "evaluator",
}


class Definition:
    """One decorated thing. Registered when made.

    Attributes:
        name: What people call it; workflows of one app have different ones, or different versions.
        kind: What it is.
        fn: The plain function.
        ref: Its reference, ``module:qualname``, with the version where that is not the first.
        doc: First line of its docstring.
    """

    def __init__(self, kind: Kind, name: str, fn: Callable[..., Any], site: Site, version: int = 1) -> None:
        """Register the definition.

        Raises:
            DefinitionError: The module has defined something else under the same reference, or a running workflow has
                made it, whose steps run in processes that could not find it.
        """
        self.kind: Kind = kind
        self.name = name
        self.fn = fn
        self.version = version
        self.ref = site.ref if version == 1 else f"{site.ref}@{version}"
        self.doc = (fn.__doc__ or "").strip().partition("\n")[0]
        self.site = site
        if site.hidden and program.get() is not None:
            raise DefinitionError(_unfindable(self.title, site))
        _register(self)

    @property
    def title(self) -> str:
        """What it is and how it is called, for sentences: "tool `search`"."""
        return f"{_WORDS[self.kind]} `{self.name}`"

    @cached_property
    def app(self) -> str:
        """What a worker loads to find this definition: the path of a file, or a dotted module name.

        Raises:
            DefinitionError: No worker could find it.
        """
        if self.site.hidden or self.site.app is None:
            raise DefinitionError(_unfindable(self.title, self.site))
        return self.site.app

    @cached_property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return Signature(self.fn, self.title)

    def prepare(self) -> None:
        """Build everything that is otherwise built when it is first used.

        Raises:
            DefinitionError: Its annotations cannot be used.
        """
        self.signature.prepare()

    def encode_result(self, value: object) -> Json:
        """Give a result as JSON.

        Raises:
            NotSerializable: It does not fit the return annotation, or cannot be written as JSON.
        """
        return self.signature.result.encode(value)

    def decode_result(self, json: Json) -> Any:
        """Give the result that recorded JSON stands for.

        Raises:
            InvalidInput: It does not fit the return annotation.
        """
        return self.signature.result.decode(json)

    def record(self) -> DefinitionRecord:
        """Give the entry of the app's manifest."""
        names = tuple(parameter.name for parameter in self.signature.parameters)
        return DefinitionRecord(name=self.name, kind=self.kind, ref=self.ref, doc=self.doc, parameters=names)


class StepDefinition(Definition):
    """A tool, an LLM or an evaluator.

    Attributes:
        options: How it is run where the caller says nothing else.
    """

    def __init__(
        self,
        kind: StepKind,
        name: str,
        fn: Callable[..., Any],
        site: Site,
        options: StepOptions,
        *,
        result: Any = Parameter.empty,
    ) -> None:
        """Register the step; ``result`` stands in for the function's return annotation where given."""
        self.options = options
        self._result = result
        self.step_kind: StepKind = kind
        super().__init__(kind, name, fn, site)

    @cached_property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return Signature(self.fn, self.title, result=self._result)

    def record(self) -> DefinitionRecord:
        """Give the entry of the app's manifest."""
        return super().record().model_copy(update={"pool": self.options.pool, "limits": self.options.limits})


class ModelDefinition(StepDefinition):
    """A language model made ready to be prompted: an ``LLM``.

    Attributes:
        instructions: What it is told before every prompt.
        model: A model, the name of one, or None for the default.
        settings: Handed to the model as they are.
    """

    def __init__(
        self,
        name: str,
        fn: Callable[..., Any],
        site: Site,
        options: StepOptions,
        *,
        output: Any,
        instructions: str,
        model: Any,
        settings: Mapping[str, Shown],
    ) -> None:
        """Register the LLM; ``output`` is the type its answers are read as."""
        self.instructions = instructions
        self.model = model
        self.settings = settings
        super().__init__("llm", name, fn, site, options, result=output)

    def prepare(self) -> None:
        """Build everything that is otherwise built when it is first used."""
        super().prepare()
        _ = self.signature.result.schema


class WorkflowDefinition(Definition):
    """A workflow: a coroutine function, maybe with shared state as its first parameter."""

    budget: Budget | None = None
    """What each run of it may use up; set by the decorator."""

    @cached_property
    def fingerprint(self) -> str:
        """What changes with its code and with the signatures of the steps that it can reach."""
        return fingerprint(self.fn, _reachable)

    def prepare(self) -> None:
        """Build everything that is otherwise built when it is first used, from the source that was just imported."""
        super().prepare()
        _ = self.fingerprint

    def record(self) -> DefinitionRecord:
        """Give the entry of the app's manifest."""
        return super().record().model_copy(update={"version": self.version, "fingerprint": self.fingerprint})

    @cached_property
    def state_model(self) -> type[BaseModel] | None:
        """The model of the shared state, None where the workflow declares none.

        Raises:
            DefinitionError: It has fields without a default, so a run could not begin with it.
        """
        whole = Signature(self.fn, self.title)
        if not whole.parameters or whole.parameters[0].name != "state":
            return None
        model = whole.hints.get("state")
        if not is_model(model):
            return None
        check_defaults(self.title, model)
        return model

    @cached_property
    def signature(self) -> Signature:
        """What callers give and get; the shared state is left out."""
        return Signature(self.fn, self.title, skip=0 if self.state_model is None else 1)

    def fresh_state(self) -> BaseModel | None:
        """Give the state a run begins with."""
        return None if self.state_model is None else self.state_model()

    def first_state(self, _start: StartProgram) -> BaseModel | None:
        """Give the state that a program begins with: a replay takes it through all its changes again."""
        return self.fresh_state()

    def enter(self, start: StartProgram, state: BaseModel | None) -> Coroutine[Any, Any, Any]:
        """Give the coroutine of a program; see ``call``."""
        return self.call(start.arguments, state)

    def bind(self, /, *args: Any, **kwargs: Any) -> dict[str, Json]:
        """Give a call as JSON by parameter name, with defaults filled in.

        Raises:
            InvalidInput: It does not fit the signature; every field at fault is named.
            NotSerializable: An argument cannot be written as JSON.
        """
        return self.signature.bind(args, kwargs)

    def bind_json(self, arguments: dict[str, Json]) -> dict[str, Json]:
        """Give arguments that arrived as JSON, or as words of a command line, in their normal form.

        Raises:
            InvalidInput: They do not fit the signature; every field at fault is named.
        """
        return self.signature.bind_json(arguments)

    def call(self, arguments: dict[str, Json], state: BaseModel | None) -> Coroutine[Any, Any, Any]:
        """Call the workflow with arguments as ``bind`` gave them. The coroutine belongs to the caller.

        Raises:
            InvalidInput: They do not fit the signature.
        """
        args, kwargs = self.signature.decode(arguments)
        return self.fn(*args, **kwargs) if state is None else self.fn(state, *args, **kwargs)  # type: ignore[no-any-return]


def is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    """Say whether an annotation is a pydantic model, and not the name of one."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def check_defaults(title: str, model: type[BaseModel]) -> None:
    """Refuse a model whose fields are not all there from the start.

    Raises:
        DefinitionError: It has fields without a default.
    """
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    if required:
        msg = (
            f"the state of {title} begins with its defaults, but {model.__name__} has none for "
            f"{', '.join(f'`{name}`' for name in required)}: give each field a default"
        )
        raise DefinitionError(msg)


# ---------------------------------------------------------------- the registry

D = TypeVar("D", bound=Definition)

_definitions: dict[str, Definition] = {}
"""Every definition of this process by reference. Written while apps are imported, read afterwards."""


def _register(definition: Definition) -> None:
    known = _definitions.get(definition.ref)
    if known is not None:
        old, new = known.site, definition.site
        if old.scope == new.scope and old.line != new.line and old.app is not None:
            msg = (
                f"{new.app} defines {known.title} in line {old.line} and {definition.title} in line {new.line} under "
                f"one name, so workers could not tell them apart: rename one of them"
            )
            raise DefinitionError(msg)
        if new.execution is not None and old.execution is new.execution and known.title != definition.title:
            definition.ref = f"{definition.ref}[{definition.name}]"  # one function under several names, as in a loop
            _register(definition)
            return
        if new.execution is not None and old.execution is new.execution and known.fn is not definition.fn:
            msg = (
                f"{new.app} defines {definition.title} more than once in line {new.line}, so workers could not tell "
                f"them apart: give each a name of its own"
            )
            raise DefinitionError(msg)
    _definitions[definition.ref] = definition


def _unfindable(title: str, site: Site) -> str:
    where = site.hidden or "at an interactive prompt"
    return (
        f"{title} is defined {where}, where no worker can find it: move it to the top level of a file, or call there "
        "the function that makes it"
    )


def all_definitions() -> tuple[Definition, ...]:
    """Give every definition of this process, in the order in which they were made."""
    return tuple(_definitions.values())


def lookup(ref: str) -> Definition:
    """Give the definition with this reference.

    Raises:
        DefinitionError: This process has not imported one.
    """
    definition = _definitions.get(ref)
    if definition is None:
        packaged = [each for known, each in _definitions.items() if known.endswith(f".{ref}")]
        if len(packaged) == 1:  # recorded before files in packages went by the names of their modules
            return packaged[0]
        msg = (
            f"no definition is known as {ref}{suggestion(ref, list(_definitions))}. Workers know what the import of "
            "the app makes: at the top level, or in functions that are called there"
        )
        raise DefinitionError(msg)
    return definition


def find_workflow(name: str, version: int | None = None) -> WorkflowDefinition:
    """Give the workflow of this name and version, the newest where none is given.

    Raises:
        DefinitionError: There is none.
    """
    workflows = [item for item in _definitions.values() if isinstance(item, WorkflowDefinition)]
    found = {item.version: item for item in workflows if item.name == name}
    if not found:
        msg = f"no workflow is called `{name}`{suggestion(name, list({item.name for item in workflows}))}"
        raise DefinitionError(msg)
    if version is not None and version not in found:
        known = ", ".join(str(known) for known in sorted(found))
        msg = (
            f"version {version} of workflow `{name}` is not defined any more, there {_are(len(found))} {known}: keep "
            f"it beside the newer one with @workflow(name={name!r}, version={version}) until its runs have ended"
        )
        raise DefinitionError(msg)
    return found[max(found) if version is None else version]


def _are(count: int) -> str:
    return "is version" if count == 1 else "are versions"


def known_workflow(app: str, name: str, version: int | None = None) -> WorkflowDefinition | None:
    """Give a workflow of an app, the newest where no version is given; None where this process has not imported it."""
    workflows = [item for item in _definitions.values() if isinstance(item, WorkflowDefinition)]
    found = [item for item in workflows if item.name == name and app in {item.site.app, item.site.file}]
    fitting = [item for item in found if version in {None, item.version}]
    return max(fitting, key=lambda item: item.version, default=None)


def _reachable(value: object) -> tuple[str, Signature] | None:
    """Give the step or workflow that an object of a user's module is, without running any code of the object's."""
    try:
        found = object.__getattribute__(value, "__dict__").get("definition")
    except AttributeError:
        return None
    return (found.title, found.signature) if isinstance(found, Definition) else None


def reset() -> None:
    """Forget every definition; for tests that import many apps into one process."""
    _definitions.clear()


def check_arguments(
    id_: str, workflow: str, arguments: dict[str, Json], version: int | None = None
) -> ArgumentsChecked:
    """Answer whether arguments fit a workflow: them in their normal form, or everything that is wrong."""
    try:
        found = find_workflow(workflow, version)
        return ArgumentsChecked(
            id=id_,
            arguments=found.bind_json(arguments),
            version=found.version,
            fingerprint=found.fingerprint,
            budget=found.budget,
        )
    except InvalidInput as error:
        faults = tuple(Fault(field=field, sentence=what) for field, what in error.errors)
        return ArgumentsChecked(id=id_, faults=faults)
    except DefinitionError as error:
        return ArgumentsChecked(id=id_, faults=(Fault(field="workflow", sentence=str(error)),), unknown_workflow=True)


def check_result(id_: str, ref: str, value: Json) -> ResultChecked:
    """Answer whether a value could be the result of a step: it in its normal form, or everything that is wrong."""
    try:
        definition = lookup(ref)
        return ResultChecked(id=id_, value=definition.encode_result(definition.decode_result(value)))
    except InvalidInput as error:
        faults = error.errors or (("", str(error)),)
    except (DefinitionError, NotSerializable) as error:
        faults = (("", str(error)),)
    return ResultChecked(id=id_, faults=tuple(Fault(field=field, sentence=what) for field, what in faults))


def suggestion(name: str, known: list[str]) -> str:
    """Give the end of a sentence that says what else a name may have meant."""
    close = get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean `{close[0]}`?"
    return f"; there are {', '.join(f'`{other}`' for other in sorted(known))}" if known else "; there are none"
