"""Definitions of an app: its workflows and steps, each with a reference that is the same in every process.

A reference is ``module:qualname``. Decorators register definitions while an app is imported; workers look them up by
the references in messages. Nothing is ever imported because a message names it.
"""

import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import cached_property
from inspect import Parameter
from typing import Any, Final, Literal, TypeAlias, TypeGuard

from pydantic import BaseModel
from pydantic_core import to_json
from typing_extensions import override

from greenroom.actors.context import program
from greenroom.actors.definitions.definition_site import NO_FILE, Site
from greenroom.actors.definitions.fingerprint import fingerprint
from greenroom.actors.definitions.signature import Signature
from greenroom.actors.models import check_named
from greenroom.actors.values.conversion import ValueConverter
from greenroom.messages.core.errors import DefinitionError, NotSerializable
from greenroom.messages.core.message import Json, Shown
from greenroom.messages.frames.worker import Definition as DefinitionRecord
from greenroom.messages.frames.worker import StartProgram
from greenroom.messages.options.policy import Budget, ModelCall, Price, Sampling, StepKind, StepOptions

Kind: TypeAlias = Literal["workflow", "session", "tool", "llm", "evaluator"]
_WORDS: Final[dict[Kind, str]] = {
    "workflow": "workflow",
    "session": "session",
    "tool": "tool",
    "llm": "LLM",
    "evaluator": "evaluator",
}


_ONE_LINE: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
"""Matches text without control characters, line breaks and unpaired surrogates."""


def check_name(name: object, kind: Kind) -> str:
    """Return the name of a definition, or of a step's calls, as the author has given it.

    Raises:
        DefinitionError: It is not one line of text.
    """
    if not (isinstance(name, str) and name.strip() and _ONE_LINE.fullmatch(name)):
        msg = f"the name of a {_WORDS[kind]} must be one line of text, not {name!r:.100}"
        raise DefinitionError(msg)
    return name


class Definition:
    """A decorated function. Registered when it is created.

    Attributes:
        name: Name shown to people. Workflows of one app differ in name or version.
        kind: The kind of definition.
        fn: The undecorated function.
        ref: Its reference, ``module:qualname``, with the version unless that is 1.
        doc: First line of its docstring.
    """

    def __init__(self, kind: Kind, name: str, fn: Callable[..., Any], site: Site, version: int = 1) -> None:
        """Register the definition.

        Raises:
            DefinitionError: The module has another definition with the same reference, or a running workflow creates
                the definition, so that other processes could not find it.
        """
        self.kind: Kind = kind
        self.name = check_name(name, kind)
        self.fn = fn
        self.version = version
        self.ref = site.ref if version == 1 else f"{site.ref}@{version}"
        self.doc = (fn.__doc__ or "").strip().partition("\n")[0]
        self.site = site
        if site.hidden and program.get() is not None:
            raise DefinitionError(_unfindable(self.title, site))
        self.register()

    def register(self) -> None:
        """Make it known to this process, by its reference."""
        _register(self)

    @property
    def title(self) -> str:
        """Its kind and name, for sentences: "tool `search`"."""
        return f"{_WORDS[self.kind]} `{self.name}`"

    @cached_property
    def app(self) -> str:
        """What a worker loads to find the definition: the path of a file, or a dotted module name.

        Raises:
            DefinitionError: No worker could find it.
        """
        if self.site.hidden or self.site.app is None:
            raise DefinitionError(_unfindable(self.title, self.site))
        try:
            self.site.app.encode()
        except UnicodeEncodeError as error:
            msg = f"{self.title} lies in {self.site.app!r}, which holds bytes that are not UTF-8: rename it"
            raise DefinitionError(msg) from error
        return self.site.app

    @cached_property
    def signature(self) -> Signature:
        """Parameters and result of the function."""
        return Signature(self.fn, self.title)

    def prepare(self) -> None:
        """Build everything that is otherwise built at first use.

        Raises:
            DefinitionError: Its annotations cannot be used.
        """
        self.signature.prepare()

    def encode_result(self, value: object) -> Json:
        """Return a result as JSON.

        Raises:
            NotSerializable: It does not fit the return annotation, or cannot be written as JSON.
        """
        try:
            return self.signature.result.encode(value)
        except NotSerializable as error:
            if self.site.file is not None:
                error.place = f"{self.site.file}:{self.site.line}"
            raise

    def decode_result(self, json: Json) -> Any:
        """Return the result for recorded JSON.

        Raises:
            InvalidInput: The JSON does not fit the return annotation.
        """
        return self.signature.result.decode(json)

    def record(self) -> DefinitionRecord:
        """Return the entry of the app's manifest."""
        names = tuple(parameter.name for parameter in self.signature.parameters)
        return DefinitionRecord(name=self.name, kind=self.kind, ref=self.ref, doc=self.doc, parameters=names)


class StepDefinition(Definition):
    """A tool, an LLM or an evaluator.

    Attributes:
        options: Options of its calls unless the caller gives others.
        approve: Whether a person must approve the calls that agents make, or a function that decides it for each.
    """

    approve: "bool | Callable[..., bool]" = False

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
        """Register the step. ``result``, if given, replaces the function's return annotation."""
        self.options = options
        self._result = result
        self.step_kind: StepKind = kind
        super().__init__(kind, name, fn, site)

    @property
    def evaluates(self) -> bool:
        """Whether it rates results of other steps."""
        return self.kind == "evaluator"

    @cached_property
    def signature(self) -> Signature:
        """Parameters and result of the function."""
        return Signature(self.fn, self.title, result=self._result)

    def record(self) -> DefinitionRecord:
        """Return the entry of the app's manifest."""
        return super().record().model_copy(update={"pool": self.options.pool, "limits": self.options.limits})

    def call_options(self, options: StepOptions) -> StepOptions:
        """Return the options that go with calls, given those that the caller has chosen."""
        return options


class ModelDefinition(StepDefinition):
    """An ``LLM``: a language model with its instructions and settings.

    Attributes:
        instructions: Text sent before every prompt.
        models: The model and those to fall back to: each a model, the name of one, or None for the default.
        settings: Passed to the model unchanged.
        price: Price that the author has declared for models whose own is not known.
    """

    def __init__(  # noqa: PLR0913  one for each thing that an author sets
        self,
        name: str,
        fn: Callable[..., Any],
        site: Site,
        options: StepOptions,
        *,
        output: Any,
        instructions: str,
        models: tuple[Any, ...],
        settings: Mapping[str, Shown],
        price: Price | None = None,
    ) -> None:
        """Register the LLM; ``output`` is the type of its answers."""
        self.instructions = instructions
        self.models = models
        self.settings = settings
        self.price = price
        super().__init__("llm", name, fn, site, options, result=output)

    def prepare(self) -> None:
        """Build everything that is otherwise built at first use.

        Raises:
            DefinitionError: Its model has no known name, or one whose library is not installed.
        """
        super().prepare()
        _ = self.answer.schema
        _ = self.asks
        if None not in self.models:  # else the worker's environment names it
            _ = self.calls

    @cached_property
    def asks(self) -> tuple[str, ...]:
        """Names of the model and of those to fall back to; empty names for objects of the user's."""
        return tuple(check_named(model, self.title) for model in self.models)

    @property
    def answer(self) -> ValueConverter:
        """Converter of the model's answers."""
        return self.signature.result

    def prompt_of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Return the prompt for the arguments of a call."""
        (prompt,) = [*args, *kwargs.values()]
        return str(prompt)

    def result_of(self, answer: Any) -> Any:
        """Return the step's result for an answer of the model."""
        return answer

    @cached_property
    def calls(self) -> tuple[ModelCall, ...]:
        """What an orchestrator needs to know of the model, and of those to fall back to."""
        from greenroom.actors.models.price import known_or_declared, name_of  # noqa: PLC0415  for apps that have an LLM

        schema = b"" if self.answer.annotation is str else to_json(self.answer.schema)
        most = self.settings.get("max_tokens")
        return tuple(
            ModelCall(
                model=name_of(model),
                price=known_or_declared(model, self.price),
                extra_bytes=len(self.instructions.encode()) + len(schema),
                max_tokens=most if isinstance(most, int) and most > 0 else None,
            )
            for model in self.models
        )

    @override
    def call_options(self, options: StepOptions, model: int = 0) -> StepOptions:
        has_fallback = model + 1 < len(self.calls)
        return options.model_copy(update={"model": self.calls[model], "has_fallback": has_fallback})


class WorkflowDefinition(Definition):
    """A workflow: a coroutine function, optionally with shared state as its first parameter."""

    budget: Budget | None = None
    """Budget of each run; set by the decorator."""
    sampling: Callable[[], Sampling] | None = None
    """Returns how a share of the runs' results is rated in the background; set by the decorator."""

    @cached_property
    def fingerprint(self) -> str:
        """Changes with the workflow's code and with the signatures of the steps that it can reach."""
        return fingerprint(self.fn, _reachable)

    @cached_property
    def unpriced(self) -> tuple[str, ...]:
        """Names of the models that it can reach, its child workflows included, and whose price is not known."""
        models: dict[str, ModelCall] = {}
        seen = {self.ref}

        def look(value: object) -> None:
            found = _definition_of(value)
            judges = [registered.get(ref) for ref in found.options.accept] if isinstance(found, StepDefinition) else []
            for each in (found, *judges):
                if isinstance(each, ModelDefinition):
                    models.update((call.model, call) for call in each.calls)
            if isinstance(found, WorkflowDefinition) and found.ref not in seen:
                seen.add(found.ref)
                fingerprint(found.fn, look)

        fingerprint(self.fn, look)
        return tuple(sorted(name for name, call in models.items() if call.price is None))

    def prepare(self) -> None:
        """Build everything that is otherwise built at first use, from the source that was just imported."""
        super().prepare()
        _ = self.fingerprint

    def record(self) -> DefinitionRecord:
        """Return the entry of the app's manifest."""
        return super().record().model_copy(update={"version": self.version, "fingerprint": self.fingerprint})

    @cached_property
    def state_model(self) -> type[BaseModel] | None:
        """Model of the shared state; None if the workflow declares none.

        Raises:
            DefinitionError: The model has fields without a default, so a run could not begin with it.
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
        """Parameters and result as callers see them, without the shared state."""
        return Signature(self.fn, self.title, skip=0 if self.state_model is None else 1)

    def fresh_state(self) -> BaseModel | None:
        """Return the state that a run begins with."""
        return None if self.state_model is None else self.state_model()

    def first_state(self, _start: StartProgram) -> BaseModel | None:
        """Return the state that a program begins with. A replay repeats all its changes."""
        return self.fresh_state()

    def enter(self, start: StartProgram, state: BaseModel | None) -> Coroutine[Any, Any, Any]:
        """Return the coroutine of a program; see ``call``."""
        return self.call(start.arguments, state)

    def bind(self, /, *args: Any, **kwargs: Any) -> dict[str, Json]:
        """Return a call as JSON by parameter name, with defaults filled in.

        Raises:
            InvalidInput: The call does not fit the signature; every wrong field is named.
            NotSerializable: An argument cannot be written as JSON.
        """
        return self.signature.bind(args, kwargs)

    def bind_json(self, arguments: dict[str, Json]) -> dict[str, Json]:
        """Return arguments that arrived as JSON, or as words of a command line, in their normal form.

        Raises:
            InvalidInput: They do not fit the signature; every wrong field is named.
        """
        return self.signature.bind_json(arguments)

    def call(self, arguments: dict[str, Json], state: BaseModel | None) -> Coroutine[Any, Any, Any]:
        """Call the workflow with arguments as returned by ``bind``. The caller owns the coroutine.

        Raises:
            InvalidInput: The arguments do not fit the signature.
        """
        args, kwargs = self.signature.decode(arguments)
        return self.fn(*args, **kwargs) if state is None else self.fn(state, *args, **kwargs)  # type: ignore[no-any-return]


class BuiltInWorkflow(WorkflowDefinition):
    """A workflow of this package, which every app may have beside those of its author. Known by its name."""

    def register(self) -> None:
        """Make it known to this process, by its name."""
        built_in[self.name] = self


def is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    """Return whether an annotation is a pydantic model, not just the name of one."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def check_defaults(title: str, model: type[BaseModel]) -> None:
    """Raise if a model has fields without a default.

    Raises:
        DefinitionError: The model has fields without a default.
    """
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    if required:
        msg = (
            f"the state of {title} begins with its defaults, but {model.__name__} has none for "
            f"{', '.join(f'`{name}`' for name in required)}: give each field a default"
        )
        raise DefinitionError(msg)


# ---------------------------------------------------------------- the registry

registered: Final[dict[str, Definition]] = {}
"""Every definition of this process, by reference. Written while apps are imported, read afterwards."""


built_in: Final[dict[str, WorkflowDefinition]] = {}
"""The built-in workflows of this process, by name. No manifest lists them."""


def _register(definition: Definition) -> None:
    known = registered.get(definition.ref)
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
    registered[definition.ref] = definition


def _unfindable(title: str, site: Site) -> str:
    where = site.hidden or (NO_FILE if site.file is None else f"in {site.file}, whose name does not end in .py")
    if site.file is None and not site.hidden:
        return f"{title} is defined {where}, where no worker can find it: write it in a file, and import it from there"
    return (
        f"{title} is defined {where}, where no worker can find it: move it to the top level of a file, or call there "
        "the function that makes it"
    )


def _definition_of(value: object) -> Definition | None:
    """Return the definition of an object of a user's module, without running code of that object."""
    try:
        found = object.__getattribute__(value, "__dict__").get("definition")
    except AttributeError:
        return None
    return found if isinstance(found, Definition) else None


def _reachable(value: object) -> tuple[str, Signature] | None:
    """Return the step or workflow that an object of a user's module is."""
    found = _definition_of(value)
    return None if found is None else (found.title, found.signature)
