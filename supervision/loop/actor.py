"""Actors of the orchestrator: pykka actors that share the reactor's loop instead of having a thread each.

A ``pykka.ThreadingActor`` costs a thread, and any ``BaseException`` in one stops every actor of the process. Here a
message is handled by a callback of the loop: thousands of actors are cheap, and whatever goes wrong in one stays there.
pykka gives the refs, the envelopes, ``tell`` and ``ask``, and the life cycle's names.
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
"""Types of message that pykka handles itself. Every other one goes straight to ``on_receive``."""


class Inbox:
    """A pykka inbox that has its actor called on the reactor, once for each message. ``put`` is for any thread.

    So messages are handled in the order in which they were put, whichever actors they are for.
    """

    def __init__(self) -> None:
        """Start empty and unbound."""
        self.messages: deque[tuple[Any, pykka.Future[Any] | None]] = deque()
        """Each with what takes its answer, where one is wanted."""
        self.actor: LoopActor | None = None
        """Whose inbox this is. Nobody puts anything in before that is said. None once that one has stopped: the two
        must not hold each other until Python looks for cycles."""

    def put(self, envelope: Envelope[Any], /) -> None:
        """Add a message. Never blocks."""
        if not self.tell(envelope.message, envelope.reply_to):  # it stopped after the sender had seen it alive
            refuse(envelope.reply_to)

    def tell(self, message: Any, reply_to: "pykka.Future[Any] | None" = None) -> bool:
        """Add a message, as most of them come: without an envelope. False where the actor has stopped."""
        actor = self.actor
        if actor is None:
            return False
        self.messages.append((message, reply_to))
        actor.reactor.call(actor.handle_next)
        return True

    def get(self) -> Envelope[Any]:
        """Take the oldest message, in an envelope of pykka's."""
        message, reply_to = self.messages.popleft()
        return Envelope(message, reply_to)

    def empty(self) -> bool:
        """Return whether there is none."""
        return not self.messages


def refuse(reply_to: "pykka.Future[Any] | None") -> None:
    """Answer a message to an actor that has stopped, where an answer is wanted."""
    if reply_to is not None:
        error = pykka.ActorDeadError("the actor stopped before handling the message")
        reply_to.set_exception((type(error), error, None))


class LoopRef(pykka.ActorRef[A]):
    """A ref to a ``LoopActor``, whose inbox knows best whether it still lives."""

    actor_inbox: Inbox  # pyright: ignore[reportIncompatibleVariableOverride]  made by the actor, replaced by nobody

    @override
    def is_alive(self) -> bool:
        """Return whether the actor has not stopped."""
        return self.actor_inbox.actor is not None

    @override
    def tell(self, message: object) -> None:
        """Send a message. Never blocks; any thread.

        Raises:
            ActorDeadError: The actor has stopped.
        """
        if not self.actor_inbox.tell(message):
            msg = f"{self} has stopped"
            raise pykka.ActorDeadError(msg)

    def silence(self) -> None:
        """Stop the actor where it stands: it hears nothing more, not even that. Reactor thread only."""
        self.actor_stopped.set()
        self.actor_inbox.actor = None


class LoopActor(pykka.Actor):
    """Base of the orchestrator's actors. ``on_receive`` runs on the reactor's thread and must not block.

    An exception in ``on_receive`` goes to the asker where there is one, else to ``on_crash``; it never stops another
    actor, and stops this one only if ``on_crash`` says so.
    """

    actor_inbox: Inbox  # pyright: ignore[reportIncompatibleVariableOverride]  made below, replaced by nobody

    def __init__(self, reactor: Reactor) -> None:
        """Remember the reactor. Called in the thread that starts the actor."""
        super().__init__()
        self.reactor = reactor
        self._actor_ref = LoopRef(self)
        self.actor_inbox.actor = self
        self._keep_alive: LoopActor | None = None
        """Itself while it lives, because refs are weak."""

    @property
    @override
    def actor_ref(self) -> "LoopRef[Self]":  # pyright: ignore[reportIncompatibleMethodOverride]  as with inboxes
        """The ref through which others speak with this actor."""
        return self._actor_ref  # type: ignore[return-value]

    @classmethod
    @override
    def start(cls, *args: Any, **kwargs: Any) -> "LoopRef[Self]":  # pyright: ignore[reportIncompatibleMethodOverride]  as pykka has it
        """Start an actor. It is not entered in pykka's process-wide registry: its owner keeps its ref."""
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
        """Hear of an exception that a told message raised. The default logs it and goes on with the next message."""
        logger.opt(exception=error).error("{} could not handle a message", self)


def actor_of(ref: pykka.ActorRef[A]) -> A | None:
    """Return the actor behind a ref, None where it is gone. For looks at it on the reactor's thread, where it runs."""
    return ref._actor_weakref()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  pykka has refs for other threads


def tell_living(ref: LoopRef[Any], message: object) -> None:
    """Tell an actor something, unless it has stopped: what it left behind may still have something to say."""
    ref.actor_inbox.tell(message)
