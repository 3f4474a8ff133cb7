"""The actor of a worker process: pykka's, with the socket as its inbox and nothing of pykka's ways with faults."""

from abc import abstractmethod
from collections import deque
from typing import Any

import pykka
from pykka._envelope import Envelope
from typing_extensions import override

from greenroom.actors.worker.channel import Channel
from greenroom.messages.frames.worker import Abort, Ready, Stop, ToWorker, WorkerSpec


class Inbox:
    """Messages for the actor. Where it is empty, reading the socket fills it. Main thread only."""

    def __init__(self) -> None:
        """Begin empty, with no socket."""
        self.channel: Channel | None = None
        self._messages: deque[Any] = deque()

    def put(self, envelope: Any, /) -> None:
        """Add an envelope of pykka's."""
        self._messages.append(envelope.message)

    def take(self) -> Any:
        """Give the oldest message; waits for one."""
        while not self._messages:
            self.fill()
        return self._messages.popleft()

    def fill(self) -> None:
        """Wait for bytes on the socket and add the messages they hold."""
        assert self.channel is not None, "an actor reads nothing before it has a channel"
        self._messages.extend(self.channel.read())

    def get(self) -> Any:
        """Give the oldest message in an envelope of pykka's; waits for one."""
        return Envelope(self.take())

    def empty(self) -> bool:
        """Say whether nothing has been read that was not taken."""
        return not self._messages

    def aborted(self, token: str) -> bool:
        """Say whether a message that waits here takes the work on this token back."""
        return any(isinstance(message, Abort) and message.token == token for message in self._messages)


class WorkerActor(pykka.Actor):
    """Takes one message after another from its inbox, until told to stop.

    Users' code has the main thread, as signal handlers, event loops and many libraries want it. Answers are frames,
    sent by ``perform``; what user code raises becomes one there. Whatever else a handler lets out, ``SystemExit`` above
    all, leaves ``serve`` and ends the process the way it ends a script: pykka would stop every actor and say nothing.

    Args:
        channel: Speaks with the orchestrator.
        spec: The worker this is.
    """

    inbox: Inbox

    def __init__(self, channel: Channel, spec: WorkerSpec) -> None:
        """Make the actor; nothing is read and nothing runs before ``serve``."""
        super().__init__()
        self.channel = channel
        self.spec = spec
        inbox = self.actor_inbox
        assert isinstance(inbox, Inbox)
        inbox.channel = channel
        self.inbox = inbox

    @classmethod
    def serve(cls, channel: Channel, spec: WorkerSpec) -> None:
        """Be this actor until told to stop. Main thread."""
        cls.start(channel, spec)

    @abstractmethod
    def perform(self, message: ToWorker) -> None:
        """Do what a message asks for and answer it."""

    # ------------------------------------------------------------ pykka's hooks, all called in the main thread

    @override
    def on_start(self) -> None:
        """Say that work is welcome, once everything is prepared for it."""
        self.prepare()
        self.channel.start()
        self.channel.send(Ready())

    def prepare(self) -> None:
        """Do what is to be done before the first attempt, while this process has one thread; nothing by default."""

    @override
    def on_receive(self, message: ToWorker) -> None:
        """Handle one message of the inbox."""
        if isinstance(message, Stop):
            self.actor_stopped.set()
        elif not isinstance(message, Abort):  # of work that has ended meanwhile
            self.perform(message)

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
        try:
            self.on_start()
            self._actor_loop_running()
        finally:
            pykka.ActorRegistry.unregister(self.actor_ref)

    @override
    def _actor_loop_running(self) -> None:
        while not self.actor_stopped.is_set():
            self._handle_receive(self.inbox.take())
