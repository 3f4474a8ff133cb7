"""Parameters and result of a user's function, in Python and in JSON."""

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import aclosing, suppress
from difflib import get_close_matches
from functools import cached_property
from inspect import Parameter
from typing import Any, Final, NoReturn, Optional, get_args, get_origin, get_type_hints

from pydantic import ValidationError
from pydantic_core import to_json

from greenroom.actors.context import program
from greenroom.actors.values.canonical import sort_sets
from greenroom.actors.values.conversion import Faults, ValueConverter, faults, sentence
from greenroom.messages.core.errors import DefinitionError, InvalidInput
from greenroom.messages.core.failures import MOST_FAULTS
from greenroom.messages.core.json_text import JsonText, plain, text_of
from greenroom.messages.core.message import Json


class Signature:
    """The parameters and the result of one function. Annotations are looked up at first use.

    Args:
        fn: The function.
        owner: The function's name in errors, such as "tool `search`".
        skip: Number of leading parameters that callers do not see, because they are filled in here.
        result: Annotation of the result, if it is not the function's own.
    """

    def __init__(self, fn: Callable[..., Any], owner: str, *, skip: int = 0, result: Any = Parameter.empty) -> None:
        """Read the parameters. Their annotations may still name what is not defined yet."""
        self.owner = owner
        self._fn = fn
        self._result = result
        parameters = list(inspect.signature(fn).parameters.values())
        self.skipped: tuple[Parameter, ...] = tuple(parameters[:skip])
        self.parameters: tuple[Parameter, ...] = tuple(parameters[skip:])
        self._python = inspect.Signature(self.parameters)
        kinds = {parameter.kind for parameter in self.parameters}
        self._plain = kinds <= {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}
        """Whether any call with positional arguments only fits if their number does."""
        self._least = sum(parameter.default is Parameter.empty for parameter in self.parameters)

    # ------------------------------------------------------------ annotations

    @cached_property
    def hints(self) -> dict[str, Any]:
        """Annotations by parameter name; the result's is under ``return``.

        Raises:
            DefinitionError: An annotation names something that does not exist.
        """
        try:
            return get_type_hints(self._fn, include_extras=True)
        except (NameError, AttributeError, TypeError) as error:
            msg = (
                f"an annotation of {self.owner} cannot be looked up: {error}. Names in annotations must be imported or "
                f"defined at the top level of the file, also outside of `if TYPE_CHECKING`"
            )
            raise DefinitionError(msg) from error

    @cached_property
    def forms(self) -> dict[str, ValueConverter]:
        """Converters of the parameters' values, by parameter name."""
        forms: dict[str, ValueConverter] = {}
        for parameter in self.parameters:
            annotation = self.hints.get(parameter.name, Any)
            if parameter.default is None:
                annotation = Optional[annotation]  # noqa: UP045  unlike `|` it accepts every annotation
            forms[parameter.name] = ValueConverter(annotation, f"argument `{parameter.name}` of {self.owner}")
        return forms

    @cached_property
    def result(self) -> ValueConverter:
        """Converter of the result."""
        annotation = self.hints.get("return", Any) if self._result is Parameter.empty else self._result
        if self._result is Parameter.empty and is_generator(self._fn):
            annotation = _list_of(annotation)
        return ValueConverter(Any if annotation is NoReturn else annotation, f"the result of {self.owner}")

    @cached_property
    def _positional(self) -> tuple[ValueConverter, ...]:
        kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        return tuple(self.forms[parameter.name] for parameter in self.parameters if parameter.kind in kinds)

    @cached_property
    def _keyword(self) -> dict[str, ValueConverter]:
        kinds = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        return {parameter.name: self.forms[parameter.name] for parameter in self.parameters if parameter.kind in kinds}

    @cached_property
    def _variadic(self) -> tuple[ValueConverter | None, ValueConverter | None]:
        found = {parameter.kind: self.forms[parameter.name] for parameter in self.parameters}
        return found.get(Parameter.VAR_POSITIONAL), found.get(Parameter.VAR_KEYWORD)

    def prepare(self) -> None:
        """Build everything that is otherwise built at the first call.

        Raises:
            DefinitionError: An annotation cannot be used.
        """
        _ = self._positional, self._keyword, self._variadic, self.result

    # ------------------------------------------------------------ calls by position and name

    def check(self, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Raise if Python would refuse the call.

        Raises:
            TypeError: Arguments are missing, are too many, or have unknown names.
        """
        if self._plain and not kwargs and self._least <= len(args) <= len(self.parameters):
            return  # Python would find the same at a hundred times the cost
        try:
            self._python.bind(*args, **kwargs)
        except TypeError as error:
            msg = f"{self.owner}: {error}"
            raise TypeError(msg) from None

    def encode_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Json:
        """Return a call as JSON, ``{"args": [...], "kwargs": {...}}``.

        Raises:
            TypeError: Python would refuse the call.
            NotSerializable: An argument does not fit its annotation, or cannot be written as JSON.
        """
        self.check(args, kwargs)
        by_position = [text_of(self._by_position(index).encode(value)) for index, value in enumerate(args)]
        by_name = [to_json(name) + b":" + text_of(self._by_name(name).encode(kwargs[name])) for name in kwargs]
        # Each value is checked, and two more levels are allowed for.
        return JsonText(b'{"args":[%b],"kwargs":{%b}}' % (b",".join(by_position), b",".join(by_name)), checked=True)

    def decode_call(self, arguments: Json) -> tuple[list[Any], dict[str, Any]]:
        """Return the positional and the keyword arguments written by ``encode_call``.

        Raises:
            InvalidInput: The arguments do not fit the signature; every wrong argument is named.
        """
        written: Any = plain(arguments)
        args, kwargs = written["args"], written["kwargs"]
        try:
            self.check(args, kwargs)
        except TypeError as error:
            msg = f"the arguments do not fit {error}"
            raise InvalidInput(msg) from None
        try:
            return (
                [self._by_position(index).read(value) for index, value in enumerate(args)],
                {name: self._by_name(name).read(value) for name, value in kwargs.items()},
            )
        except ValidationError:
            found = self._misfits(args, kwargs)
            msg = f"the arguments do not fit {self.owner}: {sentence(found)}"
            raise InvalidInput(msg, found) from None

    def _misfits(self, args: list[Json], kwargs: dict[str, Json]) -> Faults:
        """Return every wrong argument. Only called after a failure, as it costs time."""
        names = [parameter.name for parameter in self.parameters]
        given = [
            *((names[min(index, len(names) - 1)], self._by_position(index), value) for index, value in enumerate(args)),
            *((name, self._by_name(name), value) for name, value in kwargs.items()),
        ]
        return tuple(fault for name, form, value in given for fault in _exactly(name, form, value)[1])

    def _by_position(self, index: int) -> ValueConverter:
        return self._positional[index] if index < len(self._positional) else _known(self._variadic[0])

    def _by_name(self, name: str) -> ValueConverter:
        return self._keyword.get(name) or _known(self._variadic[1])

    # ------------------------------------------------------------ calls by parameter name

    @cached_property
    def named_forms(self) -> dict[str, ValueConverter]:
        """Converters of the arguments by parameter name: ``*names`` is one list there, ``**options`` one object."""
        forms = dict(self.forms)
        for parameter in self.parameters:
            if parameter.kind in COLLECTING:
                item = self.hints.get(parameter.name, Any)
                annotation = list[item] if parameter.kind is Parameter.VAR_POSITIONAL else dict[str, item]  # type: ignore[valid-type]  # known only at run time
                forms[parameter.name] = ValueConverter(annotation, self.forms[parameter.name].owner)
        return forms

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Json]:
        """Return a call as JSON by parameter name, with defaults filled in. No parameter collects arguments.

        Raises:
            InvalidInput: The call does not fit; every wrong field is named.
            NotSerializable: An argument cannot be written as JSON.
        """
        taken = [parameter for parameter in self.parameters if parameter.kind is not Parameter.KEYWORD_ONLY]
        found: list[tuple[str, str]] = []
        if len(args) > len(taken):
            found.append(("arguments", f"{len(args)} are given by position, at most {len(taken)} are taken"))
        given = dict(zip((parameter.name for parameter in taken), args, strict=False))
        found += [(name, "is given twice, by position and by name") for name in kwargs if name in given]
        return self._bind({**kwargs, **given}, found, _accept)

    def bind_json(self, arguments: dict[str, Json]) -> dict[str, Json]:
        """Return arguments that arrived as JSON, or as words of a command line, in their normal form.

        A string that does not fit is parsed as JSON text, so ``"3"`` may be a number and ``"[1, 2]"`` a list.

        Raises:
            InvalidInput: The arguments do not fit; every wrong field is named.
        """
        return self._bind(arguments, [], _read)

    def decode(self, arguments: dict[str, Json]) -> tuple[list[Any], dict[str, Any]]:
        """Return the positional and the keyword arguments for the result of ``bind`` or ``bind_json``.

        Raises:
            InvalidInput: The arguments do not fit; every wrong field is named.
        """
        values, found = self._values(arguments, _exactly)
        self._refuse(found)
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for parameter in self.parameters:
            value = values[parameter.name]
            match parameter.kind:
                case Parameter.VAR_POSITIONAL:
                    args += value
                case Parameter.VAR_KEYWORD:
                    kwargs |= value
                case Parameter.KEYWORD_ONLY:
                    kwargs[parameter.name] = value
                case _:
                    args.append(value)
        return args, kwargs

    def _bind(self, given: dict[str, Any], found: list[tuple[str, str]], read: "_Reader") -> dict[str, Json]:
        values, more = self._values(given, read)
        self._refuse([*found, *more])
        written = {name: self.named_forms[name].dump(value) for name, value in values.items()}
        if program.get() is not None:  # arguments of a child run, which journals hold in the order they had
            return written
        return {name: sort_sets(values[name], plain(json)) for name, json in written.items()}

    def _values(self, given: dict[str, Any], read: "_Reader") -> tuple[dict[str, Any], list[tuple[str, str]]]:
        values: dict[str, Any] = {}
        found: list[tuple[str, str]] = []
        for parameter in self.parameters:
            form = self.named_forms[parameter.name]
            if parameter.name in given:
                values[parameter.name], faulty = read(parameter.name, form, given[parameter.name])
            elif parameter.default is not Parameter.empty:
                values[parameter.name], faulty = _accept(parameter.name, form, parameter.default)
            elif parameter.kind in COLLECTING:
                values[parameter.name], faulty = COLLECTING[parameter.kind](), ()
            else:
                faulty = ((parameter.name, "is missing"),)
            found += faulty
        unexpected = [name for name in given if name not in self.forms]
        found += [(name, self._unexpected(name)) for name in unexpected[:MOST_FAULTS]]
        if len(unexpected) > MOST_FAULTS:
            found.append(("", f"and {len(unexpected) - MOST_FAULTS} more are no parameters"))
        return values, found

    def _unexpected(self, name: str) -> str:
        close = get_close_matches(name, self.forms, n=1)
        return f"is not a parameter; did you mean `{close[0]}`?" if close else "is not a parameter"

    def _refuse(self, found: list[tuple[str, str]]) -> None:
        if found:
            places = ", ".join(f"`{name}`" for name in self.forms) or "no arguments"
            msg = f"the arguments do not fit {self.owner}, which takes {places}: {sentence(tuple(found))}"
            raise InvalidInput(msg, tuple(found))


def is_generator(fn: Callable[..., Any]) -> bool:
    """Return whether a function yields its result item by item."""
    return inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn)


def _list_of(annotation: Any) -> Any:
    """Return the list annotation for the annotation of an iterator; return others unchanged."""
    if annotation in _ITERATED or get_origin(annotation) in _ITERATED:
        return list[(get_args(annotation) or (Any,))[0]]  # type: ignore[misc]  # known only at run time
    return annotation


async def every_item(generator: AsyncGenerator[Any, Any]) -> list[Any]:
    """Return all items of an asynchronous generator. It is closed if this is cancelled."""
    async with aclosing(generator) as items:
        return [item async for item in items]


_ITERATED: Final = (Iterator, Generator, Iterable, AsyncIterator, AsyncGenerator, AsyncIterable)
"""Annotations that authors give to generators."""

COLLECTING: Final[dict[Any, Callable[[], Any]]] = {Parameter.VAR_POSITIONAL: list, Parameter.VAR_KEYWORD: dict}
"""Kinds of parameters that collect arguments, and what they collect them in, in calls by name."""

_Reader = Callable[[str, ValueConverter, Any], tuple[Any, Faults]]


def _accept(name: str, form: ValueConverter, value: object) -> tuple[Any, Faults]:
    """Validate a Python value."""
    try:
        return form.validate(value), ()
    except ValidationError as error:
        return None, _placed(name, error)


def _exactly(name: str, form: ValueConverter, json: Json) -> tuple[Any, Faults]:
    """Read JSON."""
    try:
        return form.read(json), ()
    except ValidationError as error:
        return None, _placed(name, error)


def _read(name: str, form: ValueConverter, json: Json) -> tuple[Any, Faults]:
    """Read JSON, or JSON inside a string."""
    value, found = _exactly(name, form, json)
    if found and isinstance(text := plain(json), str):
        with suppress(ValidationError):  # otherwise the string was meant as a string, and the first faults describe it
            return form.read_text(text), ()
    return value, found


def _placed(name: str, error: ValidationError) -> Faults:
    return tuple((f"{name}.{place}" if place else name, what) for place, what in faults(error))


def _known(form: ValueConverter | None) -> ValueConverter:
    assert form is not None, "the call was checked against the signature"
    return form
