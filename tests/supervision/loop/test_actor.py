"""Actors on the reactor's loop: what is left of one that has stopped."""

import gc
import weakref
from collections.abc import Iterator

import pykka
import pytest
from typing_extensions import override

from greenroom.supervision.loop.actor import LoopActor
from greenroom.supervision.loop.reactor import Reactor


class Echo(LoopActor):
    """Gives back what it is told."""

    @override
    def on_receive(self, message: object) -> object:
        return message


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    reactor = Reactor()
    reactor.start()
    yield reactor
    reactor.stop()


def test_an_actor_that_has_stopped_is_gone_at_once(reactor):
    gc.disable()
    try:
        ref = Echo.start(reactor)
        assert ref.ask("here?") == "here?"
        actor = weakref.ref(ref._actor_weakref())
        ref.stop()
        _wait_for(reactor)
        assert actor() is None
    finally:
        gc.enable()


def test_who_asks_an_actor_at_the_moment_of_its_end_is_told(reactor):
    ref = Echo.start(reactor)
    ref.is_alive = lambda: True  # the sender looked before the actor stopped
    ref.stop()
    with pytest.raises(pykka.ActorDeadError):
        ref.ask("just behind", timeout=10)
    _wait_for(reactor)
    with pytest.raises(pykka.ActorDeadError):
        ref.ask("much later", timeout=10)


def _wait_for(reactor: Reactor) -> None:
    """Wait until the reactor has taken every call that was made so far."""

    async def over() -> None:
        """Run behind them."""

    reactor.submit(over()).result(10)
