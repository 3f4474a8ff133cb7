"""What an app defines as sessions: handlers of messages, with the state they keep from one message to the next."""

import types
from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from greenroom.actors.definitions.definition_site import Site
from greenroom.actors.definitions.definitions import Definition, all_definitions, check_defaults, is_model, suggestion
from greenroom.actors.values.conversion import Faults, Form, faults, sentence
from greenroom.actors.values.unknown_fields import extra_fields
from greenroom.messages.core.errors import DefinitionError, InvalidInput
from greenroom.messages.core.failures import Fault
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import Definition as DefinitionRecord
from greenroom.messages.frames.worker import MessageChecked, StartProgram
from greenroom.messages.policy import SessionPolicy


class SessionDefinition(Definition):
    """A session's handler: a coroutine function of the state and one message.

    Attributes:
        policy: What a session does about a message that the handler cannot deal with, and what it may use up.
        fingerprint: Empty: a turn is short, and is compared with its journal by keys alone.
    """

    fingerprint = ""

    def __init__(
        self, name: str, fn: Callable[..., Any], site: Site, state: type[BaseModel] | None, policy: SessionPolicy
    ) -> None:
        """Register the handler; ``state`` is the model where the annotation does not say it."""
        self._state = state
        self.policy = policy
        self._forms: dict[str, Form] = {}
        super().__init__("session", name, fn, site)

    @cached_property
    def state_model(self) -> type[BaseModel]:
        """The model of the state.

        Raises:
            DefinitionError: There is none, two differ, or it has fields without a default.
        """
        return self.check_state(self.signature.hints.get("state"))

    def check_state(self, annotated: object) -> type[BaseModel]:
        """Give the model of the state by the annotation of its parameter; None where that cannot be looked up yet.

        Raises:
            DefinitionError: There is none, two differ, or it has fields without a default.
        """
        model = annotated if self._state is None else self._state
        if not is_model(model):
            msg = f"{self.title} needs a pydantic model for its state: `@session(state=Model)`"
            raise DefinitionError(msg)
        if annotated not in (None, Any, model):
            msg = f"{self.title} has the state {model.__name__}, but its parameter `state` is annotated otherwise"
            raise DefinitionError(msg)
        check_defaults(self.title, model)
        return model

    @cached_property
    def messages(self) -> dict[str, type[BaseModel]]:
        """The models of the messages it takes, by name.

        Raises:
            DefinitionError: Its message is not annotated with pydantic models, or two of them have one name.
        """
        parameter = self.signature.parameters[1].name
        models = _members(self.signature.hints.get(parameter))
        named = {model.__name__: model for model in models if isinstance(model, type) and issubclass(model, BaseModel)}
        if not named or len(named) != len(models):
            msg = (
                f"the message of {self.title} has to be annotated with a pydantic model, or a union of some with "
                f"different names, such as `{parameter}: UserMessage | Reset`"
            )
            raise DefinitionError(msg)
        return named

    @cached_property
    def _message(self) -> Form:
        return self.signature.forms[self.signature.parameters[1].name]

    def prepare(self) -> None:
        """Build everything that is otherwise built when it is first used.

        Raises:
            DefinitionError: Its annotations cannot be used.
        """
        super().prepare()
        _ = self.state_model, self.messages, self._message

    def record(self) -> DefinitionRecord:
        """Give the entry of the app's manifest; its parameters are the names of the messages it takes."""
        return super().record().model_copy(update={"parameters": tuple(self.messages)})

    # ------------------------------------------------------------ messages

    def write_message(self, message: object) -> tuple[str, Json]:
        """Give a message as the name of its type and JSON.

        Raises:
            InvalidInput: The handler does not take such messages.
            NotSerializable: It cannot be written as JSON.
        """
        name = type(message).__name__
        if not isinstance(message, BaseModel) or self.messages.get(name) is not type(message):
            msg = f"{self.title} takes {self._taken()}, not {message!r:.200}"
            raise InvalidInput(msg, (("message", f"is no {self._taken()}"),))
        return name, self._form(name).dump(message)

    def read_message(self, name: str, value: Json) -> BaseModel:
        """Give the message on record that JSON stands for; an empty name leaves it to the value which type it is.

        Raises:
            InvalidInput: It does not fit; every field at fault is named.
        """
        if name and name not in self.messages:
            msg = f"{self.title} takes {self._taken()}, no {name}{suggestion(name, list(self.messages))}"
            raise InvalidInput(msg, (("message", f"is no {self._taken()}"),))
        form = self._form(name) if name else self._message
        try:
            return cast("BaseModel", form.read(value))
        except ValidationError as error:
            found = _placed(faults(error))
            msg = f"the message does not fit {name or self._taken()}: {sentence(found)}"
            raise InvalidInput(msg, found) from error

    def _form(self, name: str) -> Form:
        """Give the form of the messages of a type. To make one costs more than all else that a message meets here."""
        if name not in self._forms:
            self._forms[name] = Form(self.messages[name], f"a message to {self.title}")
        return self._forms[name]

    def _taken(self) -> str:
        return " or ".join(self.messages)

    def take_message(self, name: str, value: Json) -> BaseModel:
        """Give the message that somebody sends, which holds no field that its model has not.

        An empty name leaves it to the value which type it is: the only one that it fits. Models that allow extra fields
        are looked at where no other one fits.

        Raises:
            InvalidInput: It does not fit, or fits several types; every field at fault is named.
        """
        if name or len(self.messages) == 1:
            return self._strictly(name or next(iter(self.messages)), value)
        fitting: dict[str, BaseModel] = {}
        faulty: dict[str, Faults] = {}
        for each in self.messages:
            try:
                fitting[each] = self._strictly(each, value)
            except InvalidInput as error:
                faulty[each] = error.errors
        closed = {each: read for each, read in fitting.items() if self.messages[each].model_config.get("extra") is None}
        found = closed or fitting
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            types = " and ".join(found)
            what = f"it fits {types}: say which of them it is by the type's name"
        else:
            fewest = min(map(len, faulty.values()))
            close = {each: wrong for each, wrong in faulty.items() if len(wrong) == fewest}
            if len(close) == 1:
                (each, wrong), *_ = close.items()
                msg = f"the message is no {self._taken()}, and does not fit {each}: {sentence(wrong)}"
                raise InvalidInput(msg, wrong)
            what = f"it fits none of {self._taken()}: " + "; ".join(
                f"as {each}, {sentence(wrong)}" for each, wrong in faulty.items()
            )
        raise InvalidInput(f"the message cannot be taken: {what}", (("message", what),))  # noqa: EM102  said twice

    def _strictly(self, name: str, value: Json) -> BaseModel:
        message = self.read_message(name, value)
        if found := _placed(extra_fields(message, value)):
            msg = f"the message does not fit {name}: {sentence(found)}"
            raise InvalidInput(msg, found)
        return message

    def check_message(self, id_: str, name: str, value: Json) -> MessageChecked:
        """Answer whether a message fits: it in its normal form, or everything that is wrong with it."""
        try:
            read, normal = self.write_message(self.take_message(name, value))
        except InvalidInput as error:
            wrong = tuple(Fault(field=field, sentence=what) for field, what in error.errors)
            return MessageChecked(id=id_, faults=wrong)
        return MessageChecked(id=id_, name=read, value=normal, policy=self.policy)

    # ------------------------------------------------------------ turns

    def first_state(self, start: StartProgram) -> BaseModel:
        """Give the state that a turn begins with; see ``read_state``."""
        assert start.turn is not None
        return self.read_state(start.turn.state)

    def enter(self, start: StartProgram, state: BaseModel | None) -> Coroutine[Any, Any, Any]:
        """Give the coroutine of a turn. It belongs to the caller.

        Raises:
            InvalidInput: The message does not fit any more.
        """
        assert start.turn is not None
        return self.fn(state, self.read_message(start.turn.name, start.turn.value))  # type: ignore[no-any-return]

    def read_state(self, json: Json) -> BaseModel:
        """Give the state that is on record, or the one a session begins with.

        Raises:
            InvalidInput: The model has changed so that what is on record does not fit it.
        """
        return self.state_model() if json is None else cast("BaseModel", self._state_form.decode(json))

    @cached_property
    def _state_form(self) -> Form:
        return Form(self.state_model, f"the recorded state of {self.title}")


def _members(annotation: Any) -> list[Any]:
    """Take a union apart."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in _members(part)]
    return [annotation]


def _placed(found: Faults) -> Faults:
    return tuple((f"message.{place}" if place else "message", what) for place, what in found)


def find_session(name: str) -> SessionDefinition:
    """Give the session of this name.

    Raises:
        DefinitionError: There is none.
    """
    found = {item.name: item for item in all_definitions() if isinstance(item, SessionDefinition)}
    if name not in found:
        msg = f"no session is called `{name}`{suggestion(name, list(found))}"
        raise DefinitionError(msg)
    return found[name]


def check_message(id_: str, session: str, name: str, value: Json) -> MessageChecked:
    """Answer whether a message fits a session's handler."""
    try:
        return find_session(session).check_message(id_, name, value)
    except DefinitionError as error:
        return MessageChecked(id=id_, faults=(Fault(field="session", sentence=str(error)),), unknown_session=True)
