"""The actor of a worker process: a pykka actor that reads its messages from the socket, in the main thread.

Of pykka it uses public names and the hooks that pykka gives to new types of actors. What the orchestrator's actors need
of pykka's internals stands in ``supervision/loop/actor.py``.
"""

from abc import abstractmethod
from collections import deque
from typing import Any

import pykka
from typing_extensions import override

from greenroom.actors.worker.channel import Channel
from greenroom.messages.frames.worker import Abort, Ready, Stop, ToWorker, WorkerSpec


class Inbox:
    """Messages for the actor. Taking one from an empty inbox reads the socket. Main thread only."""

    def __init__(self) -> None:
        """Create an empty inbox without a socket."""
        self.channel: Channel | None = None
        self._messages: deque[Any] = deque()

    def put(self, envelope: Any, /) -> None:
        """Add the message of an envelope of pykka's."""
        self._messages.append(envelope.message)

    def take(self) -> Any:
        """Return the oldest message. Blocks until there is one."""
        while not self._messages:
            self.fill()
        return self._messages.popleft()

    def fill(self) -> None:
        """Wait for bytes on the socket and add the messages in them."""
        assert self.channel is not None, "an actor reads nothing before it has a channel"
        self._messages.extend(self.channel.read())

    def get(self) -> Any:
        """Return the oldest message as ``take`` does. Only pykka's own loop would want it in an envelope."""
        return self.take()

    def empty(self) -> bool:
        """Return whether every message that was read has been taken."""
        return not self._messages

    def aborted(self, token: str) -> bool:
        """Return whether a message in here aborts the work with this token."""
        return any(isinstance(message, Abort) and message.token == token for message in self._messages)


class WorkerActor(pykka.Actor):
    """Handles one message of its inbox after another until it is told to stop.

    User code runs in the main thread, as signal handlers, event loops and many libraries need it. Answers are frames
    that ``perform`` sends; exceptions of user code become one there. Any other exception, ``SystemExit`` above all,
    leaves ``serve`` and ends the process as it ends a script. pykka would stop every actor and say nothing.

    Args:
        channel: Connection to the orchestrator.
        spec: Specification of this worker.
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
        """Run an actor of this class until it is told to stop. Main thread only."""
        cls(channel, spec).run()  # not ``start``, which enters it in pykka's registry, where nothing looks for it

    def run(self) -> None:
        """Start this actor and run it until it is told to stop. Main thread only."""
        self.on_start()
        self.handle_messages()

    def handle_messages(self) -> None:
        """Handle one message after another until ``Stop`` comes. Main thread only."""
        while not self.actor_stopped.is_set():
            self.on_receive(self.inbox.take())

    @abstractmethod
    def perform(self, message: ToWorker) -> None:
        """Do the work that a message asks for and answer it."""

    # ------------------------------------------------------------ pykka's hooks, all called in the main thread

    @override
    def on_start(self) -> None:
        """Prepare for the first attempt and tell the orchestrator that this worker is ready."""
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
        elif not isinstance(message, Abort):  # one that comes here is for work that has ended meanwhile
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
        self.run()
