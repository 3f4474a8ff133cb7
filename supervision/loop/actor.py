"""Actors of the orchestrator: pykka actors that share the reactor's loop instead of having a thread each.

A ``pykka.ThreadingActor`` needs a thread, and any ``BaseException`` in one stops every actor of the process. Here a
callback of the loop handles each message, so thousands of actors are cheap, and an error affects only its actor. Refs,
envelopes, ``tell``, ``ask`` and the names of the life cycle are pykka's.
"""

import sys
from collections import deque
from typing import Any, Final, Self, TypeVar

import pykka
from loguru import logger
from pykka import messages
from pykka._envelope import Envelope
from typing_extensions import override

from greenroom.supervision.loop.reactor import Reactor

A = TypeVar("A", bound=pykka.Actor)

_OF_PYKKA: Final = frozenset(
    {messages._ActorStop, messages.ProxyCall, messages.ProxyGetAttr, messages.ProxySetAttr}  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  it has no other name
)
"""Types of message that pykka handles itself. All others go directly to ``on_receive``."""


class Inbox:
    """A pykka inbox that schedules one call of its actor on the reactor for each message. ``put`` is thread-safe.

    So messages are handled in the order of their arrival, across all actors.
    """

    def __init__(self) -> None:
        """Start empty and unbound."""
        self.messages: deque[tuple[Any, pykka.Future[Any] | None]] = deque()
        """Messages, each with the future for its answer, if one is wanted."""
        self.actor: LoopActor | None = None
        """Owner of the inbox, set before the first message. None after it has stopped, so that there is no reference
        cycle."""

    def put(self, envelope: Envelope[Any], /) -> None:
        """Add a message. Never blocks."""
        if not self.tell(envelope.message, envelope.reply_to):  # the actor has stopped after the sender's check
            refuse(envelope.reply_to)

    def tell(self, message: Any, reply_to: "pykka.Future[Any] | None" = None) -> bool:
        """Add a message without an envelope. Return False if the actor has stopped."""
        actor = self.actor
        if actor is None:
            return False
        self.messages.append((message, reply_to))
        actor.reactor.call(actor.handle_next)
        return True

    def get(self) -> Envelope[Any]:
        """Remove and return the oldest message, in an envelope of pykka's."""
        message, reply_to = self.messages.popleft()
        return Envelope(message, reply_to)

    def empty(self) -> bool:
        """Return whether there is no message."""
        return not self.messages


def refuse(reply_to: "pykka.Future[Any] | None") -> None:
    """Set ``ActorDeadError`` as the answer of a message to a stopped actor, if an answer is wanted."""
    if reply_to is not None:
        error = pykka.ActorDeadError("the actor stopped before handling the message")
        reply_to.set_exception((type(error), error, None))


class LoopRef(pykka.ActorRef[A]):
    """A ref to a ``LoopActor``, whose inbox knows whether it has stopped."""

    actor_inbox: Inbox  # pyright: ignore[reportIncompatibleVariableOverride]  made by the actor, never replaced

    @override
    def is_alive(self) -> bool:
        """Return whether the actor has not stopped."""
        return self.actor_inbox.actor is not None

    @override
    def tell(self, message: object) -> None:
        """Send a message. Thread-safe; never blocks.

        Raises:
            ActorDeadError: The actor has stopped.
        """
        if not self.actor_inbox.tell(message):
            msg = f"{self} has stopped"
            raise pykka.ActorDeadError(msg)

    def silence(self) -> None:
        """Stop the actor at once. It handles no further message, not even one about the stop. Reactor thread only."""
        self.actor_stopped.set()
        self.actor_inbox.actor = None


class LoopActor(pykka.Actor):
    """Base of the orchestrator's actors. ``on_receive`` runs on the reactor's thread and must not block.

    An exception in ``on_receive`` is raised in the caller of ``ask``, if there is one, else passed to ``on_crash``. It
    never stops another actor, and stops this one only if ``on_crash`` does so.
    """

    actor_inbox: Inbox  # pyright: ignore[reportIncompatibleVariableOverride]  made below, never replaced

    def __init__(self, reactor: Reactor) -> None:
        """Keep the reactor. Called in the thread that starts the actor."""
        super().__init__()
        self.reactor = reactor
        self._actor_ref = LoopRef(self)
        self.actor_inbox.actor = self
        self._keep_alive: LoopActor | None = None
        """The actor itself until it stops, because refs are weak."""

    @property
    @override
    def actor_ref(self) -> "LoopRef[Self]":  # pyright: ignore[reportIncompatibleMethodOverride]  as with inboxes
        """The ref for messages to this actor."""
        return self._actor_ref  # type: ignore[return-value]

    @classmethod
    @override
    def start(cls, *args: Any, **kwargs: Any) -> "LoopRef[Self]":  # pyright: ignore[reportIncompatibleMethodOverride]  as pykka has it
        """Start an actor and return its ref. The actor is not entered in pykka's process-wide registry."""
        actor = cls(*args, **kwargs)
        actor._start_actor_loop()
        return actor.actor_ref

    @staticmethod
    @override
    def _create_actor_inbox() -> Inbox:
        return Inbox()

    @staticmethod
    @override
    def _create_future() -> pykka.Future[Any]:
        return pykka.ThreadingFuture()

    @override
    def _start_actor_loop(self) -> None:
        self._keep_alive = self

    def handle_next(self) -> None:
        """Handle the oldest message of the inbox. Reactor thread only."""
        inbox = self.actor_inbox
        message, reply_to = inbox.messages.popleft()
        if inbox.actor is None:
            refuse(reply_to)
            return
        try:
            answer = self._handle_receive(message) if type(message) in _OF_PYKKA else self.on_receive(message)
            if reply_to is not None:
                reply_to.set(answer)
        except BaseException as error:  # noqa: BLE001  a SystemExit in one actor must not end the others
            if reply_to is not None:
                reply_to.set_exception(sys.exc_info())
            else:
                self.on_crash(error)

    @override
    def _stop(self) -> None:
        self.actor_stopped.set()
        self.on_stop()
        self._keep_alive = None
        self.actor_inbox.actor = None

    def on_crash(self, error: BaseException) -> None:
        """Handle an exception raised by a message from ``tell``. The default logs it and keeps the actor running."""
        logger.opt(exception=error).error("{} could not handle a message", self)


def actor_of(ref: pykka.ActorRef[A]) -> A | None:
    """Return the actor of a ref, None if it is gone. Reactor thread only."""
    return ref._actor_weakref()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  pykka has refs for other threads


def tell_living(ref: LoopRef[Any], message: object) -> None:
    """Send a message to an actor, unless it has stopped. Late events of its work may come after its end."""
    ref.actor_inbox.tell(message)
