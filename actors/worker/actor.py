"""The actor of a worker process: a pykka actor with the socket as its inbox, and without pykka's handling of errors."""

from abc import abstractmethod
from collections import deque
from typing import Any

import pykka
from pykka._envelope import Envelope
from typing_extensions import override

from greenroom.actors.worker.channel import Channel
from greenroom.messages.frames.worker import Abort, Ready, Stop, ToWorker, WorkerSpec


class Inbox:
    """Inbox of the actor. If it is empty, it is filled by reading the socket. Main thread only."""

    def __init__(self) -> None:
        """Begin empty, with no socket."""
        self.channel: Channel | None = None
        self._messages: deque[Any] = deque()

    def put(self, envelope: Any, /) -> None:
        """Add an envelope of pykka."""
        self._messages.append(envelope.message)

    def take(self) -> Any:
        """Return the oldest message; wait for one if there is none."""
        while not self._messages:
            self.fill()
        return self._messages.popleft()

    def fill(self) -> None:
        """Wait for bytes on the socket and add the messages in them."""
        assert self.channel is not None, "an actor reads nothing before it has a channel"
        self._messages.extend(self.channel.read())

    def get(self) -> Any:
        """Return the oldest message in an envelope of pykka; wait for one if there is none."""
        return Envelope(self.take())

    def empty(self) -> bool:
        """Return whether there are no messages that were read and not yet taken."""
        return not self._messages

    def aborted(self, token: str) -> bool:
        """Return whether a waiting message aborts the attempt with this token."""
        return any(isinstance(message, Abort) and message.token == token for message in self._messages)


class WorkerActor(pykka.Actor):
    """An actor that takes one message after another from its inbox, until told to stop.

    User code runs in the main thread, as signal handlers, event loops and many libraries require. ``perform`` sends
    answers as frames, including what user code raises. Any other exception of a handler, above all ``SystemExit``,
    leaves ``serve`` and ends the process as it ends a script. pykka would stop every actor silently instead.

    Args:
        channel: Connection to the orchestrator.
        spec: Description of this worker.
    """

    inbox: Inbox

    def __init__(self, channel: Channel, spec: WorkerSpec) -> None:
        """Create the actor. Nothing is read and nothing runs before ``serve``."""
        super().__init__()
        self.channel = channel
        self.spec = spec
        inbox = self.actor_inbox
        assert isinstance(inbox, Inbox)
        inbox.channel = channel
        self.inbox = inbox

    @classmethod
    def serve(cls, channel: Channel, spec: WorkerSpec) -> None:
        """Handle messages until told to stop. Main thread."""
        cls.start(channel, spec)

    @abstractmethod
    def perform(self, message: ToWorker) -> None:
        """Execute a message and answer it."""

    # ------------------------------------------------------------ pykka's hooks, all called in the main thread

    @override
    def on_start(self) -> None:
        """Prepare the worker, and then report that it is ready."""
        self.prepare()
        self.channel.start()
        self.channel.send(Ready())

    def prepare(self) -> None:
        """Prepare for the first attempt, while this process has one thread. Does nothing by default."""

    @override
    def on_receive(self, message: ToWorker) -> None:
        """Handle one message of the inbox."""
        if isinstance(message, Stop):
            self.actor_stopped.set()
        elif not isinstance(message, Abort):  # the attempt has ended meanwhile
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
