"""The root supervisor: apps, pools, ids, and the order of the end."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenroom.messages.core.errors import DefinitionError, WorkerNotFound
from greenroom.messages.core.failures import Exit
from greenroom.messages.frames.worker import Stop
from greenroom.messages.options.policy import Limits, WorkerKind
from greenroom.messages.records.records import ActorRecord
from greenroom.supervision.jobs import ImportKilled, Pool, PoolKey, Unavailable
from greenroom.supervision.pool.events import WorkerEvent
from greenroom.supervision.tree import Tree
from tests.supervision.memory import (
    KILLED,
    JumpingLoop,
    LoopReactor,
    MemoryBackend,
    MemoryWorker,
    Owner,
    asleep,
    execute,
    settle,
)


def _as_it_is(_backend: MemoryBackend) -> None:
    """Change nothing about a fresh backend."""


class Forest:
    """A tree of memory workers on a jumping clock."""

    def __init__(self) -> None:
        self.loop = JumpingLoop()
        self.reactor = LoopReactor(self.loop)
        self.owner = Owner()
        self.backends: dict[tuple[str, str], MemoryBackend] = {}
        self.made: list[tuple[str, str, str]] = []
        self.prepare: Callable[[MemoryBackend], None] = _as_it_is
        self.events: list[WorkerEvent] = []
        self.trees: list[Tree] = []

    def tree(self, **options: Any) -> Tree:
        tree = Tree(self.reactor, self._make, on_event=self.events.append, unit=lambda: 0.5, **options)
        self.trees.append(tree)
        return tree

    def _make(self, app: str, key: PoolKey, pool: Pool) -> MemoryBackend:
        self.made.append((app, key.name, pool.backend))
        backend = self.backends[app, pool.backend] = MemoryBackend(self.loop)
        self.prepare(backend)
        return backend

    def wait(self, seconds: float = 0.0) -> None:
        self.loop.run_until_complete(settle(seconds))

    def submit(self, tree: Tree, token: str, key: PoolKey, limits: Limits | None = None) -> Any:
        job = tree.submit(key, limits, self.owner.job(token))
        self.wait()
        return job

    def close(self) -> None:
        for tree in self.trees:
            self.loop.run_until_complete(tree.close(grace=0.5))
        self.loop.close()


@pytest.fixture
def forest() -> Iterator[Forest]:
    forest = Forest()
    yield forest
    forest.close()


def key(name: str = "tool", kind: WorkerKind = "tool", app: str = "app.py") -> PoolKey:
    return PoolKey(app, kind, name)


def test_pools_of_an_app_share_one_backend_per_kind_of_backend(forest: Forest) -> None:
    tree = forest.tree(pools={"search": Pool(backend="spawn")})
    forest.submit(tree, "a", key())
    forest.submit(tree, "b", key("evaluator", "evaluator"))
    forest.submit(tree, "c", key("search"))
    forest.submit(tree, "d", key(app="other.py"))
    assert forest.made == [
        ("app.py", "tool", "zygote"),
        ("app.py", "search", "spawn"),
        ("other.py", "tool", "zygote"),
    ]
    assert repr(tree) == "<Tree of 3 backends, 4 pools, 4 workers>"


def test_worker_ids_are_unique_over_all_apps(forest: Forest) -> None:
    tree = forest.tree()
    forest.submit(tree, "a", key())
    forest.submit(tree, "b", key(app="other.py"))
    forest.submit(tree, "c", key("search"))
    forest.submit(tree, "d", key("program", "program"))
    assert [worker.id for worker in tree.workers()] == ["tool-1", "tool-2", "tool:search-1", "program-1"]


def test_policy_is_found_by_pool_name_then_by_kind(forest: Forest) -> None:
    tree = forest.tree(pools={"tool": Pool(memory_mb=64, env=("HOME",)), "search": Pool(memory_mb=128)})
    forest.submit(tree, "a", key())
    forest.submit(tree, "b", key("search"))
    forest.submit(tree, "c", key("llm", "llm"))
    lives = forest.backends["app.py", "zygote"].lives
    assert [life.spec.limits for life in lives] == [
        Limits(memory_mb=64, open_files=1024, env=("HOME",)),
        Limits(memory_mb=128, open_files=1024),
        Limits(open_files=1024),
    ]
    assert [life.spec.concurrency for life in lives] == [1, 1, 64]


def test_a_steps_own_limits_go_before_those_of_the_pools_policy(forest: Forest) -> None:
    tree = forest.tree(pools={"tool": Pool(memory_mb=64, env=("HOME",))})
    forest.submit(tree, "a", key("search"), Limits(memory_mb=512, cpu=5.0, open_files=64, env=("LANG",)))
    (life,) = forest.backends["app.py", "zygote"].lives
    assert life.spec.limits == Limits(memory_mb=512, cpu=5.0, open_files=64, env=("HOME", "LANG"))


def test_jobs_wait_for_the_app_and_nobody_is_begun_before_it_is_loaded(forest: Forest) -> None:
    gates: list[asyncio.Event] = []

    def prepare(backend: MemoryBackend) -> None:
        backend.loading = asyncio.Event()
        gates.append(backend.loading)

    forest.prepare = prepare
    tree = forest.tree()
    forest.submit(tree, "a", key())
    assert tree.workers() == []
    assert tree.record().children[0].status == "loading"
    gates[0].set()
    forest.wait()
    assert [worker.status for worker in tree.workers()] == ["busy"]


def test_an_app_that_does_not_load_is_told_to_all_and_tried_anew_by_the_next_job(forest: Forest) -> None:
    def prepare(backend: MemoryBackend) -> None:
        backend.failure = DefinitionError("app.py, line 3: NameError") if len(forest.made) == 1 else None

    forest.prepare = prepare
    tree = forest.tree()
    job = forest.submit(tree, "a", key())
    broken = forest.backends["app.py", "zygote"]
    assert forest.owner.refusal("a") == "app.py, line 3: NameError"
    assert broken.closed
    done: list[bool] = []
    job.release()
    job.withdraw(done=lambda: done.append(True))
    forest.submit(tree, "b", key())
    assert done == [True]
    assert forest.owner.worker("b") == "tool-1"


def test_the_record_shows_strategies_pids_and_restarts(forest: Forest) -> None:
    tree = forest.tree(pools={"tool": Pool(strategy="one_for_all")})
    forest.submit(tree, "a", key())
    backend = forest.backends["app.py", "zygote"]
    backend.lives[0].die(KILLED)
    forest.wait()
    root = tree.record()
    assert (root.id, root.strategy, root.restarts) == ("root", "one_for_one", 1)
    (app,) = root.children
    assert (app.id, app.kind, app.status) == ("app.py", "app", "running")
    assert app.children == (
        ActorRecord(
            id="tool",
            kind="pool",
            status="running",
            strategy="one_for_all",
            restarts=1,
            detail="0 jobs waiting, 1 crashes of jobs, 0 planned replacements",
            children=(ActorRecord(id="tool-1", kind="tool", status="idle", pid=102, restarts=1),),
        ),
    )
    assert tree.statistics() == {"workers": 1, "restarts": 1, "replacements": 0, "crashes": 1, "dropped": 0}


def test_workers_say_what_they_do_and_for_whom(forest: Forest) -> None:
    tree = forest.tree()
    forest.submit(tree, "a", key())
    (worker,) = tree.workers()
    assert (worker.pool, worker.kind, worker.pid, worker.incarnation) == ("tool", "tool", 101, 1)
    assert (worker.status, worker.run_id, worker.step, worker.restarts) == ("busy", "run-of-a", "search", 0)


def test_events_tell_a_workers_life(forest: Forest) -> None:
    tree = forest.tree()
    forest.submit(tree, "a", key())
    forest.backends["app.py", "zygote"].lives[0].die(KILLED)
    forest.wait()
    assert [(event.kind, event.worker, event.incarnation) for event in forest.events] == [
        ("started", "tool-1", 1),
        ("ready", "tool-1", 1),
        ("exited", "tool-1", 1),
        ("restarting", "tool-1", 1),
        ("started", "tool-1", 2),
        ("ready", "tool-1", 2),
    ]
    assert forest.events[2].exit == KILLED
    assert forest.events[3].delay == 0.0


def test_kill_finds_the_worker_in_any_pool(forest: Forest) -> None:
    tree = forest.tree()
    forest.submit(tree, "a", key())
    forest.submit(tree, "b", key("search"))
    tree.kill("tool:search-1", 15)
    assert [life.signals for life in forest.backends["app.py", "zygote"].lives] == [[], [15]]


def test_killing_an_unknown_worker_names_those_called_alike(forest: Forest) -> None:
    tree = forest.tree()
    with pytest.raises(WorkerNotFound, match=r'there is no worker "tool-1"; `greenroom actors list` shows'):
        tree.kill("tool-1")
    forest.submit(tree, "a", key())
    forest.submit(tree, "b", key("llm", "llm"))
    with pytest.raises(WorkerNotFound, match=r'there is no worker "tol-1"; did you mean "tool-1"'):
        tree.kill("tol-1")


def test_the_cap_on_starts_holds_over_all_pools(forest: Forest) -> None:
    def prepare(backend: MemoryBackend) -> None:
        backend.on_spawn = asleep

    forest.prepare = prepare
    tree = forest.tree(concurrent_starts=2)
    for name in "abcd":
        forest.submit(tree, name, key(name))
    lives = forest.backends["app.py", "zygote"].lives
    assert len(lives) == 2
    lives[0].become_ready()
    forest.wait()
    assert len(lives) == 3


def test_closing_ends_pools_in_reverse_order_and_then_their_backends(forest: Forest) -> None:
    tree = forest.tree()
    ended: list[str] = []
    for name in ("first", "second"):
        forest.submit(tree, name, key(name))
    backend = forest.backends["app.py", "zygote"]
    for life in backend.lives:
        life.obedient = False
        life.kill = _noting(life, ended)  # type: ignore[method-assign]
    forest.loop.run_until_complete(tree.close(grace=2.0))
    assert ended == ["tool:second-1 15", "tool:second-1 9", "tool:first-1 15", "tool:first-1 9"]
    assert all(isinstance(life.sent[-1], Stop) for life in backend.lives)
    assert backend.closed
    assert not forest.owner.lost("first").charged
    assert tree.record().status == "closed"
    forest.submit(tree, "late", key())
    assert forest.owner.refusal("late") == "the orchestrator is closed"


def _noting(life: MemoryWorker, ended: list[str]) -> Any:
    def kill(reason: Exit, *, signal: int = 9) -> None:
        ended.append(f"{life.spec.worker} {signal}")
        if signal == 9:
            life.die(reason)

    return kill


def test_an_import_that_is_killed_each_time_is_put_off_and_done_for_the_first_job_after_that(forest: Forest) -> None:
    def prepare(backend: MemoryBackend) -> None:
        backend.failure = ImportKilled("app.py cannot be loaded: the zygote was killed by SIGKILL")

    forest.prepare = prepare
    tree = forest.tree()
    forest.submit(tree, "a", key())
    forest.submit(tree, "b", key("evaluator", "evaluator"))
    for token, pool in (("a", "tool"), ("b", "evaluator")):
        end = forest.owner.end(token)
        assert isinstance(end, Unavailable)
        assert end.pool == pool  # so that its run goes on by itself
        assert "is taken again after 60 s, as what imports it is killed each time" in end.reason
    backend = forest.backends["app.py", "zygote"]
    backend.failure = None
    forest.wait(59.0)
    forest.submit(tree, "c", key())
    assert forest.owner.refusal("c")
    forest.wait(2.0)
    assert [event.kind for event in forest.events] == ["degraded", "degraded", "reopened", "reopened"]
    assert not backend.lives
    forest.submit(tree, "d", key())
    (life,) = backend.lives
    life.answer("d")
    forest.wait()
    assert forest.owner.answered("d")
    assert forest.events[-1].kind == "recovered"
    assert forest.made == [("app.py", "tool", "zygote")]


def test_closing_while_an_app_loads_does_not_wait_for_it(forest: Forest) -> None:
    def prepare(backend: MemoryBackend) -> None:
        backend.loading = asyncio.Event()

    forest.prepare = prepare
    tree = forest.tree()
    forest.submit(tree, "a", key())
    forest.loop.run_until_complete(tree.close())
    assert forest.owner.refusal("a") == "the orchestrator is closing"
    assert forest.backends["app.py", "zygote"].closed


# ---------------------------------------------------------------- jobs that kill zygotes

LOST = Exit(kind="backend_lost", detail="the zygote was killed by SIGKILL")


class Crowd:
    """A job that kills the zygote of its worker, and one beside it, both sent again at once until they are charged."""

    def __init__(self, forest: Forest) -> None:
        self.forest = forest
        self.backends: list[MemoryBackend] = []
        forest.prepare = self.backends.append
        self.tree = forest.tree()
        self.attempts = {"killer": 0, "neighbour": 0}

    def dispatch(self, name: str) -> None:
        self.attempts[name] += 1
        job = self.forest.owner.job(self.token(name), execute(self.token(name), name), run_id=name)
        self.tree.submit(key(), None, job)
        self.forest.wait()

    def token(self, name: str) -> str:
        return f"{name}-{self.attempts[name]}"

    def life(self, name: str) -> MemoryWorker:
        return next(life for each in self.backends for life in each.alive if self.token(name) in life.work)

    def lose(self, *backends: MemoryBackend, died_first: bool, confirmed_after: float = 0.0) -> None:
        """Lose some zygotes: first the pidfds of workers or the loss is noticed, and the end is confirmed at last."""
        lives = [life for backend in backends for life in backend.alive]
        if died_first:
            for life in lives:
                life.die_unconfirmed()
        for backend in backends:
            backend.on_lost(LOST.detail)
        if not died_first:
            for life in lives:
                life.die_unconfirmed()
        self.forest.wait(confirmed_after)
        for life in lives:
            life.die(LOST)
        self.forest.wait()


@pytest.mark.parametrize("died_first", [True, False])
@pytest.mark.parametrize("between", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("confirmed_after", [0.0, 1.0, 7.0])
def test_a_job_is_charged_with_the_third_zygote_it_kills_whenever_and_however_that_is_noticed(
    forest: Forest, between: float, confirmed_after: float, *, died_first: bool
) -> None:
    crowd = Crowd(forest)
    for _ in range(2):
        crowd.dispatch("killer")
        crowd.dispatch("neighbour")
        forest.wait(between)
        shared = crowd.life("killer").backend
        assert shared is crowd.life("neighbour").backend
        crowd.lose(shared, died_first=died_first, confirmed_after=confirmed_after)
        assert not forest.owner.lost(crowd.token("killer")).charged
        assert not forest.owner.lost(crowd.token("neighbour")).charged
    crowd.dispatch("killer")
    crowd.dispatch("neighbour")
    forest.wait(between)
    isolated = crowd.life("killer").backend
    assert isolated.alive == [crowd.life("killer")]
    crowd.lose(isolated, died_first=died_first, confirmed_after=confirmed_after)
    assert forest.owner.lost(crowd.token("killer")).charged
    assert crowd.life("neighbour").alive


@pytest.mark.parametrize("died_first", [True, False])
@pytest.mark.parametrize("confirmed_after", [0.0, 1.0, 7.0])
def test_a_job_that_kills_all_zygotes_is_charged_with_the_fourth_and_its_neighbour_with_none(
    forest: Forest, confirmed_after: float, *, died_first: bool
) -> None:
    """The third death may be the neighbour's deed, so they run one after another."""
    crowd = Crowd(forest)
    for _ in range(3):
        crowd.dispatch("killer")
        crowd.dispatch("neighbour")
        backends = {id(life.backend): life.backend for life in map(crowd.life, crowd.attempts)}
        crowd.lose(*backends.values(), died_first=died_first, confirmed_after=confirmed_after)
        assert not forest.owner.lost(crowd.token("killer")).charged
        assert not forest.owner.lost(crowd.token("neighbour")).charged
    crowd.dispatch("killer")
    crowd.dispatch("neighbour")
    crowd.lose(crowd.life("killer").backend, died_first=died_first, confirmed_after=confirmed_after)
    assert forest.owner.lost(crowd.token("killer")).charged
    crowd.life("neighbour").answer(crowd.token("neighbour"))
    assert forest.owner.answered(crowd.token("neighbour"))
