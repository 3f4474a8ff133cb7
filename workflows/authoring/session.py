"""``@session``: a coroutine function that handles one message at a time."""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, Protocol, TypeVar, get_args, overload

from pydantic import BaseModel

from greenroom.actors.context import program
from greenroom.actors.definitions.definition_site import function_site
from greenroom.actors.definitions.sessions import SessionDefinition
from greenroom.messages.core.errors import DefinitionError, InvalidInput
from greenroom.messages.core.other_names import OtherNames, refuse_options
from greenroom.messages.options.policy import Budget, OnFailure, SessionPolicy
from greenroom.workflows.authoring.step import Call, Shares, author_name, check_coroutine, present, sampling_of
from greenroom.workflows.authoring.workflow import check_budget

S = TypeVar("S", bound=BaseModel)
M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")

PARAMETERS: Final = 2
"""The state and the message."""
MAX_KEY: Final = 200
"""Most characters of a session's key."""


class Handler(OtherNames, Generic[S, M, R]):
    """The coroutine function of a session, called once for each message, which survives its process.

    ``Orchestrator.session`` returns the session of a key. Called directly, the handler runs in place with the state
    that it is given.
    """

    def __init__(self, definition: SessionDefinition) -> None:
        """Wrap a definition; made by ``session``."""
        self.definition = definition
        self.name = definition.name
        present(self, definition.fn)

    @property
    def fn(self) -> Callable[[S, M], Coroutine[Any, Any, R]]:
        """The plain function."""
        return self.definition.fn

    def __call__(self, state: S, message: M) -> Call[R]:
        """Call the plain function."""
        return self.fn(state, message)

    def __repr__(self) -> str:
        """Describe the handler in a few words."""
        return f"<{self.definition.title} of {self.definition.site.module}>"

    async def tell(self, key: str, message: M) -> None:
        """Send the session of a key a message, from a workflow or from a session's turn.

        The message is committed with the next event of the workflow, or with the end of the turn. From then on it is
        delivered exactly once; if that commit is lost, it was never sent. There is no reply.

        Raises:
            InvalidInput: The handler takes no such message, or the key is not valid.
            RuntimeError: The caller runs in no workflow and no turn.
        """
        port = program.get()
        if port is None:
            msg = (
                f"tell() is for workflow code; elsewhere there is orchestrator.session({self.name}, {key!r}).tell(...)"
            )
            raise RuntimeError(msg)
        name, value = self.definition.write_message(message)
        if (wrong := key_fault(key)) is not None:
            raise InvalidInput(wrong, (("key", wrong),))
        port.send(f"{self.name}/{key}", name, value, self.definition.policy)


class SessionDecorator(Protocol):
    """``session`` with its options given."""

    def __call__(self, fn: Callable[[S, M], Coroutine[Any, Any, R]], /) -> Handler[S, M, R]:
        """Make a coroutine function a session's handler."""
        ...


@overload
def session(fn: Callable[[S, M], Coroutine[Any, Any, R]], /) -> Handler[S, M, R]: ...
@overload
def session(
    *,
    state: type[BaseModel] | None = None,
    name: str | None = None,
    on_failure: OnFailure = "continue",
    budget: Budget | None = None,
    sample: Shares | None = None,
) -> SessionDecorator: ...
def session(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    state: type[BaseModel] | None = None,
    name: str | None = None,
    on_failure: OnFailure = "continue",
    budget: Budget | None = None,
    sample: Shares | None = None,
    **unknown: object,
) -> Any:
    """Make a coroutine function the handler of sessions: durable actors, each with a key, a state and a mailbox.

    The function is called with the session's state and one message at a time. It runs in a program process, and may
    await everything a workflow may. When it returns, the end of the turn is committed with the changed state, the
    reply, and the messages and values it sent and emitted. An interrupted turn is resumed, and counts once.

    Args:
        fn: The function, ``async def handler(state: Model, message: A | B) -> Reply``.
        state: The model of the state, whose fields all have defaults; needed if the annotation does not name it.
        name: Name of the session; the function's name by default. It is unique in an app.
        on_failure: What to do once a message is a dead letter, because the function raised or its process died again
            and again: ``"continue"`` with the next message, or ``"stop"``, which parks the session.
        budget: Budget of one session: all of its turns and the runs that they start. Once it is used up the session is
            parked, until the budget is raised. It has no ``wall``, because a session has no end of its own.
        sample: Evaluators that rate a share of the replies in the background, such as ``{judge: 0.1}``.
        unknown: Options that do not exist. They are refused.

    Raises:
        DefinitionError: The function is not ``async``, does not take a state and a message, or one of its models is
            not valid.
        TypeError: There is no such option.
    """
    refuse_options("session", unknown, session.__kwdefaults__, name or "handler")

    def decorate(fn: Callable[..., Any]) -> Handler[Any, Any, Any]:
        session_name = author_name(fn, name, "session")
        title = f"session `{session_name}`"
        site = function_site(fn, session_name, own_app=True)
        check_coroutine(fn, title)
        if "/" in session_name or not session_name:
            msg = f"{title} cannot be called that: a session's name has no '/', which stands before its key"
            raise DefinitionError(msg)
        parameters = list(inspect.signature(fn).parameters)
        if len(parameters) != PARAMETERS or parameters[0] != "state":
            msg = (
                f"{title} takes a state and a message: write `async def {fn.__name__}(state: Model, message: Message)`"
            )
            raise DefinitionError(msg)
        if on_failure not in get_args(OnFailure):
            msg = f"on_failure of {title} is 'continue' or 'stop', not {on_failure!r}"
            raise DefinitionError(msg)
        limits = check_budget(title, budget)
        if limits is not None and limits.wall is not None:
            msg = f"the budget of {title} has a `wall`, and a session lasts until it is closed: limit its steps' time"
            raise DefinitionError(msg)
        policy = SessionPolicy(on_failure=on_failure, budget=limits)
        definition = SessionDefinition(session_name, fn, site, state, policy)
        definition.sampling = sampling_of(title, sample)
        annotated = fn.__annotations__.get("state")
        known = annotated if isinstance(annotated, type) else None
        if state is not None or known is not None:
            definition.check_state(known)  # others are checked at first use
        return Handler(definition)

    return decorate if fn is None else decorate(fn)


def key_fault(key: object) -> str | None:
    """Return what is wrong with a session's key; None if it is valid."""
    fits = isinstance(key, str) and 1 <= len(key) <= MAX_KEY and key.isprintable() and "/" not in key
    return None if fits else f"a session's key is 1 to {MAX_KEY} printable characters without '/', not {key!r:.250}"


def check_handler(given: object) -> None:
    """Check that a value is a session's handler.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(given, Handler):
        msg = f"only a function decorated with @session has sessions, not {given!r:.200}"
        raise TypeError(msg)
