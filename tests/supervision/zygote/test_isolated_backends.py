"""Which losses acquit the job in an isolated backend, on a clock that jumps."""

from collections.abc import Iterator

import pytest

from greenroom.supervision.jobs import Pool, PoolKey
from greenroom.supervision.zygote.isolated_backends import TOGETHER, IsolatedBackends
from tests.supervision.memory import JumpingLoop, MemoryBackend

KEY = PoolKey("app.py", "tool", "tool")
SHARED = object()
"""A backend that serves whole pools."""


@pytest.fixture
def loop() -> Iterator[JumpingLoop]:
    loop = JumpingLoop()
    yield loop
    loop.close()


@pytest.fixture
def isolated(loop: JumpingLoop) -> IsolatedBackends:
    return IsolatedBackends(loop, lambda _app, _key, _policy: MemoryBackend(loop), lambda: None)


def opened(isolated: IsolatedBackends, *, exclusive: bool = False) -> MemoryBackend:
    backend = isolated.open(KEY, Pool(), exclusive=exclusive)
    assert isinstance(backend, MemoryBackend)
    return backend


@pytest.mark.parametrize("between", [0.0, 0.01, TOGETHER / 2, TOGETHER, 10 * TOGETHER])
def test_the_loss_that_brought_a_job_to_its_own_backend_does_not_acquit_it(
    loop: JumpingLoop, isolated: IsolatedBackends, between: float
) -> None:
    """However soon the job, sent again at once, takes its next zygote down."""
    isolated.note_loss(SHARED)
    backend = opened(isolated)
    loop.now += between
    backend.on_lost("it was killed")
    assert isolated.lost_alone(backend)


@pytest.mark.parametrize("first", ["shared", "one", "other"])
@pytest.mark.parametrize("between", [0.0, 0.01, TOGETHER / 2])
@pytest.mark.parametrize("confirmed", [0.0, 2 * TOGETHER])
def test_simultaneous_losses_acquit_each_other_in_every_order(
    loop: JumpingLoop, isolated: IsolatedBackends, first: str, between: float, confirmed: float
) -> None:
    """And however long it takes until the end of all processes is confirmed."""
    one, other = opened(isolated), opened(isolated)
    losses = {
        "shared": lambda: isolated.note_loss(SHARED),
        "one": lambda: one.on_lost("it was killed"),
        "other": lambda: other.on_lost("it was killed"),
    }
    losses.pop(first)()
    loop.now += between
    for lose in losses.values():
        lose()
    loop.now += confirmed
    assert not isolated.lost_alone(one)
    assert not isolated.lost_alone(other)


@pytest.mark.parametrize("others_first", [True, False])
def test_a_loss_at_another_time_acquits_nobody(
    loop: JumpingLoop, isolated: IsolatedBackends, *, others_first: bool
) -> None:
    backend = opened(isolated)
    losses = [lambda: isolated.note_loss(SHARED), lambda: backend.on_lost("it was killed")]
    for lose in losses if others_first else reversed(losses):
        lose()
        loop.now += 2 * TOGETHER
    assert isolated.lost_alone(backend)


def test_a_later_loss_does_not_hide_a_simultaneous_one(loop: JumpingLoop, isolated: IsolatedBackends) -> None:
    backend = opened(isolated)
    isolated.note_loss(SHARED)
    backend.on_lost("it was killed")
    loop.now += 2 * TOGETHER
    isolated.note_loss(SHARED)
    assert not isolated.lost_alone(backend)


def test_in_an_exclusive_backend_a_job_is_charged_whatever_else_is_lost(
    loop: JumpingLoop, isolated: IsolatedBackends
) -> None:
    backend = opened(isolated, exclusive=True)
    assert not isolated.has_room(exclusive=False)
    isolated.note_loss(SHARED)
    backend.on_lost("it was killed")
    assert isolated.lost_alone(backend)

    isolated.leave(backend)
    loop.run_until_complete(isolated.close())
    assert backend.closed
    assert isolated.has_room(exclusive=True)
    opened(isolated)
    assert isolated.has_room(exclusive=False)
    assert not isolated.has_room(exclusive=True)
