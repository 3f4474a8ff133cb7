"""Sessions of an app: handlers of messages, with state that they keep from one message to the next."""

import types
from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from greenroom.actors.definitions.definition_site import Site
from greenroom.actors.definitions.definitions import Definition, check_defaults, is_model
from greenroom.actors.definitions.registry import all_definitions, suggestion
from greenroom.actors.values.conversion import Faults, ValueConverter, faults, sentence, state_text
from greenroom.actors.values.unknown_fields import extra_fields
from greenroom.messages.core.errors import DefinitionError, InvalidInput
from greenroom.messages.core.failures import Fault
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import Definition as DefinitionRecord
from greenroom.messages.frames.worker import MessageChecked, StartProgram
from greenroom.messages.options.policy import Sampling, SessionPolicy


class SessionDefinition(Definition):
    """A session's handler: a coroutine function of the state and one message.

    Attributes:
        policy: What a session does when the handler fails on a message, and the session's budget.
        fingerprint: Always empty: a turn is short, so a replay compares only its keys with the journal.
    """

    fingerprint = ""
    sampling: Callable[[], Sampling] | None = None
    """Returns how a share of the replies is rated in the background; set by the decorator."""

    def __init__(
        self, name: str, fn: Callable[..., Any], site: Site, state: type[BaseModel] | None, policy: SessionPolicy
    ) -> None:
        """Register the handler; ``state`` is the model of the state if the annotation does not name it."""
        self._state = state
        self.policy = policy
        self._forms: dict[str, ValueConverter] = {}
        super().__init__("session", name, fn, site)

    @cached_property
    def state_model(self) -> type[BaseModel]:
        """Model of the state.

        Raises:
            DefinitionError: There is no model, two differ, or it has fields without a default.
        """
        return self.check_state(self.signature.hints.get("state"))

    def check_state(self, annotated: object) -> type[BaseModel]:
        """Return the model of the state from its parameter's annotation; None if that cannot be looked up yet.

        Raises:
            DefinitionError: There is no model, two differ, or it has fields without a default.
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
        """Models of the messages that it accepts, by name.

        Raises:
            DefinitionError: The message is not annotated with pydantic models, or two of them have one name.
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
    def _message(self) -> ValueConverter:
        return self.signature.forms[self.signature.parameters[1].name]

    def prepare(self) -> None:
        """Build everything that is otherwise built at first use.

        Raises:
            DefinitionError: Its annotations cannot be used.
        """
        super().prepare()
        _ = self.state_model, self.messages, self._message

    def record(self) -> DefinitionRecord:
        """Return the entry of the app's manifest. Its parameters are the names of the accepted messages."""
        return super().record().model_copy(update={"parameters": tuple(self.messages)})

    # ------------------------------------------------------------ messages

    def write_message(self, message: object) -> tuple[str, Json]:
        """Return a message as the name of its type and JSON.

        Raises:
            InvalidInput: The handler does not accept such messages.
            NotSerializable: The message cannot be written as JSON.
        """
        name = type(message).__name__
        if not isinstance(message, BaseModel) or self.messages.get(name) is not type(message):
            msg = f"{self.title} takes {self._taken()}, not {message!r:.200}"
            raise InvalidInput(msg, (("message", f"is not a {self._taken()}"),))
        return name, self._form(name).dump(message)

    def read_message(self, name: str, value: Json) -> BaseModel:
        """Return the message for recorded JSON. If the name is empty, the value decides the type.

        Raises:
            InvalidInput: The value does not fit; every wrong field is named.
        """
        if name and name not in self.messages:
            msg = f"{self.title} takes {self._taken()}, not {name}{suggestion(name, list(self.messages))}"
            raise InvalidInput(msg, (("message", f"is not a {self._taken()}"),))
        form = self._form(name) if name else self._message
        try:
            return cast("BaseModel", form.read(value))
        except ValidationError as error:
            found = _placed(faults(error))
            msg = f"the message does not fit {name or self._taken()}: {sentence(found)}"
            raise InvalidInput(msg, found) from error

    def _form(self, name: str) -> ValueConverter:
        """Return the cached converter for messages of a type; creating one costs more than the rest of this work."""
        if name not in self._forms:
            self._forms[name] = ValueConverter(self.messages[name], f"a message to {self.title}")
        return self._forms[name]

    def _taken(self) -> str:
        return " or ".join(self.messages)

    def take_message(self, name: str, value: Json) -> BaseModel:
        """Return the message for JSON that was sent. Fields that the model does not have are refused.

        If the name is empty, the type is the only one that the value fits. Models that allow extra fields are tried
        only if no other fits.

        Raises:
            InvalidInput: The value does not fit, or fits several types; every wrong field is named.
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
            what = f"it fits {types}: give the type that is meant (on the command line with --type)"
        else:
            fewest = min(map(len, faulty.values()))
            close = {each: wrong for each, wrong in faulty.items() if len(wrong) == fewest}
            if len(close) == 1:
                (each, wrong), *_ = close.items()
                msg = f"the message is not a {self._taken()}, and does not fit {each}: {sentence(wrong)}"
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
        """Check a message. Answer with it in its normal form, or with everything that is wrong with it."""
        try:
            read, normal = self.write_message(self.take_message(name, value))
        except InvalidInput as error:
            wrong = tuple(Fault(field=field, sentence=what) for field, what in error.errors)
            return MessageChecked(id=id_, faults=wrong)
        return MessageChecked(id=id_, name=read, value=normal, policy=self.policy)

    # ------------------------------------------------------------ turns

    def first_state(self, start: StartProgram) -> BaseModel:
        """Return the state that a turn begins with. The end of the turn replaces the recorded one.

        Raises:
            InvalidInput: The recorded state no longer fits the model, or has fields that would be lost.
        """
        assert start.turn is not None
        recorded = start.turn.state
        state = self.read_state(recorded)
        if recorded is not None and (unknown := extra_fields(state, recorded)):
            written = extra_fields(state, state_text(state))  # by serialisers of the model, and so each time
            if lost := tuple(each for each in unknown if each not in written):
                msg = (
                    f"the recorded state of {self.title} does not fit {self.state_model.__name__}: {sentence(lost)}. "
                    "What is recorded there would be lost: keep the field, have another one read it with "
                    '`validation_alias=AliasChoices(...)`, or drop it with `model_config = ConfigDict(extra="ignore")`'
                )
                raise InvalidInput(msg, lost)
        return state

    def enter(self, start: StartProgram, state: BaseModel | None) -> Coroutine[Any, Any, Any]:
        """Return the coroutine of a turn. The caller owns it.

        Raises:
            InvalidInput: The message no longer fits its model.
        """
        assert start.turn is not None
        return self.fn(state, self.read_message(start.turn.name, start.turn.value))  # type: ignore[no-any-return]

    def read_state(self, json: Json) -> BaseModel:
        """Return the recorded state, or the one that a session begins with.

        Raises:
            InvalidInput: The recorded state no longer fits the model.
        """
        return self.state_model() if json is None else cast("BaseModel", self._state_form.decode(json))

    @cached_property
    def _state_form(self) -> ValueConverter:
        return ValueConverter(self.state_model, f"the recorded state of {self.title}")


def _members(annotation: Any) -> list[Any]:
    """Return the members of a union."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in _members(part)]
    return [annotation]


def _placed(found: Faults) -> Faults:
    return tuple((f"message.{place}" if place else "message", what) for place, what in found)


def find_session(name: str) -> SessionDefinition:
    """Return the session of this name.

    Raises:
        DefinitionError: There is no such session.
    """
    found = {item.name: item for item in all_definitions() if isinstance(item, SessionDefinition)}
    if name not in found:
        msg = f"no session is called `{name}`{suggestion(name, list(found))}"
        raise DefinitionError(msg)
    return found[name]


def check_message(id_: str, session: str, name: str, value: Json) -> MessageChecked:
    """Check a message against a session's handler."""
    try:
        return find_session(session).check_message(id_, name, value)
    except DefinitionError as error:
        return MessageChecked(id=id_, faults=(Fault(field="session", sentence=str(error)),), unknown_session=True)
