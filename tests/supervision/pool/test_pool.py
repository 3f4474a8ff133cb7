"""What a pool promises of jobs and workers. The logic runs on memory workers; the end of the file on real processes."""

import math
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import pytest

from greenroom.messages.core.errors import FrameTooLarge
from greenroom.messages.core.failures import Exit, Failure
from greenroom.messages.frames.worker import (
    CANNOT_START,
    NOT_YET,
    Abort,
    AppDescribed,
    Completed,
    DescribeApp,
    Emitted,
    EndProgram,
    Failed,
    Judged,
    Progress,
    Ready,
    Stop,
)
from greenroom.supervision.jobs import (
    Answered,
    Assigned,
    JobEvent,
    KillWorker,
    Lost,
    Mute,
    Pool,
    Release,
    Send,
    Submit,
    Withdraw,
)
from tests.supervision.memory import MemoryWorker, World, asleep, execute, farewell, resolve, start, turn

SEGFAULT = Exit(kind="signaled", signal="SIGSEGV")
TIMEOUT = "timeout"


@pytest.fixture
def make() -> Iterator[Callable[..., World]]:
    worlds: list[World] = []

    def make(*arguments: Any, **options: Any) -> World:
        world = World(*arguments, **options)
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        world.close()


# ---------------------------------------------------------------- dispatch


def test_a_job_is_assigned_sent_and_answered(make: Callable[..., World]) -> None:
    world = make()
    world.submit("a")
    life = world.life("a")
    assert world.owner.heard["a"] == [Assigned("a", "tool-1", 101, 1)]
    life.answer("a")
    end = world.owner.end("a")
    assert isinstance(end, Answered)
    assert end.message == Completed(token="a", result="a", duration=0.0)
    assert repr(world.pool) == "<PoolActor tool of app.py: 1 workers, 0 jobs, 0 of them waiting>"


def test_a_ready_worker_is_used_before_another_is_begun(make: Callable[..., World]) -> None:
    world = make(size=4)
    for token in "abc":
        world.submit(token)
        world.life(token).answer(token)
    assert world.starts() == ["tool-1/1"]


def test_the_pool_grows_on_demand_up_to_its_size_and_queues_the_rest_in_order(make: Callable[..., World]) -> None:
    world = make(size=2)
    for token in "abcde":
        world.submit(token)
    assert world.starts() == ["tool-1/1", "tool-2/1"]
    assert [world.backend.lives[0].work, world.backend.lives[1].work] == [["a"], ["b"]]
    world.backend.lives[1].answer("b")
    world.backend.lives[0].answer("a")
    world.wait()
    assert [world.backend.lives[0].work, world.backend.lives[1].work] == [["a", "d"], ["b", "c"]]


def test_a_tool_worker_never_has_two_jobs_whatever_concurrency_says(make: Callable[..., World]) -> None:
    world = make(size=1, concurrency=8)
    world.submit("a")
    world.submit("b")
    assert world.life("a").work == ["a"]


def test_concurrent_workers_share_the_load(make: Callable[..., World]) -> None:
    world = make("llm", size=2, concurrency=2)
    for token in "abcd":
        world.submit(token)
    first, second = world.backend.lives
    assert (first.work, second.work) == (["a", "b"], ["c", "d"])
    first.answer("a")
    first.answer("b")
    second.answer("c")
    for token in "ef":
        world.submit(token)
    assert first.work[2:] == ["e", "f"] or (first.work[2:], second.work[2:]) == (["e"], ["f"])


def test_idle_workers_are_stopped_and_jobs_begin_new_ones(make: Callable[..., World]) -> None:
    world = make(idle_after=5.0)
    world.submit("a")
    world.life("a").answer("a")
    world.wait_beating(8)
    assert world.backend.alive == []
    assert world.pool.workers() == []
    world.submit("b")
    assert world.starts() == ["tool-1/1", "tool-1/2"], "an id that comes back goes on counting its lives"


def test_jobs_wait_until_the_app_is_loaded(make: Callable[..., World]) -> None:
    world = make(opened=False)
    world.submit("a")
    assert world.starts() == []
    world.pool.open()
    world.wait()
    assert world.life("a").work == ["a"]


def test_an_app_that_does_not_load_makes_every_job_unavailable(make: Callable[..., World]) -> None:
    world = make(opened=False)
    world.submit("a")
    world.pool.refuse_for_good("app.py does not load: NameError")
    world.submit("b")
    assert world.owner.refusal("a") == world.owner.refusal("b") == "app.py does not load: NameError"


def test_progress_reaches_the_owner_and_ends_nothing(make: Callable[..., World]) -> None:
    world = make()
    world.submit("a")
    world.life("a").say(Progress(token="a", detail=0.5))
    world.life("a").answer("a")
    assert [type(event.message).__name__ for event in world.owner.ends("a") if isinstance(event, Answered)] == [
        "Progress",
        "Completed",
    ]


def test_emitted_values_reach_the_owner_and_a_worker_is_not_read_while_its_job_is_muted(
    make: Callable[..., World],
) -> None:
    world = make(size=1)
    world.submit("a")
    life = world.life("a")
    life.say(Emitted(token="a", channel="default", value=1))
    world.pool.order(Mute("a", muted=True))
    assert life.hearing
    world.pool.order(Mute("a", muted=False))
    assert not life.hearing
    world.pool.order(Mute("a", muted=True))
    life.answer("a")
    assert not life.hearing, "the end of a job ends that"
    assert [type(event.message).__name__ for event in world.owner.ends("a") if isinstance(event, Answered)] == [
        "Emitted",
        "Completed",
    ]
    world.pool.order(Mute("a", muted=True))
    assert not life.hearing, "the job has ended"


def test_a_job_that_is_withdrawn_while_it_is_muted_is_heard_again(make: Callable[..., World]) -> None:
    world = make(size=1)
    world.submit("a")
    life = world.life("a")
    world.pool.order(Mute("a", muted=True))
    world.pool.order(Withdraw("a", grace=1.0))
    assert not life.hearing, "its answer to the request to stop must be read"


def test_a_frame_that_is_too_long_is_refused_and_the_worker_goes_on(make: Callable[..., World]) -> None:
    world = make(size=1)
    world.submit("a")
    life = world.life("a")

    def send(message: Any) -> int:
        raise FrameTooLarge("a message is too long")

    life.answer("a")
    life.send, kept = send, life.send
    world.submit("b")
    assert world.owner.refusal("b") == "search cannot be sent to a worker: a message is too long"
    life.send = kept
    world.submit("c")
    assert life.work == ["a", "c"]


def test_a_worker_that_is_ready_before_its_process_is_known_gets_work_once_it_is(make: Callable[..., World]) -> None:
    world = make(size=1)
    world.backend.on_spawn = lambda life: life.say(Ready())
    world.submit("a")
    life = world.backend.lives[-1]
    assert world.owner.heard["a"] == []
    life.launch()
    world.wait()
    assert life.pid is not None
    assert world.owner.heard["a"] == [Assigned("a", "tool-1", life.pid, 1)]
    life.answer("a")
    assert world.owner.answered("a")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"size": 0}, "size is at least 1, not 0"),
        ({"memory_mb": -5}, "memory_mb is at least 1, not -5"),
        ({"concurrency": 0}, "concurrency is at least 1, not 0"),
        ({"max_restarts": -1}, "max_restarts is at least 0, not -1"),
        ({"within": 0.0}, "within is a time above 0 s, not 0.0"),
        ({"strategy": "all"}, "strategy is one of 'one_for_one', 'one_for_all', 'rest_for_one', not 'all'"),
        ({"backend": "thread"}, "backend is one of 'zygote', 'spawn', not 'thread'"),
        ({"within": float("inf")}, "within is a time of at most"),
        ({"idle_after": float("nan")}, "idle_after is a time above 0 s, not nan"),
        ({"size": 10**9}, "size is at most 10,000"),
        ({"memory_mb": 10**18}, "memory_mb is at most"),
        ({"open_files": 3}, "open_files is at least 17, not 3"),
        ({"workdir": "/no/such/folder"}, "workdir is the path of a folder, and there is none at '/no/such/folder'"),
        ({"env": ("A=B",)}, "env holds names, and no variable can be called 'A=B'"),
        ({"env": ("",)}, "env holds names, and no variable can be called ''"),
        ({"size": 0, "cpu": -1.0}, "a pool cannot be kept like this:\n  size: is at least 1, not 0\n  cpu: is a time"),
    ],
)
def test_a_pool_that_cannot_be_kept_is_refused_where_it_is_written(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Pool(**options)


OF_ANOTHER_TYPE: dict[str, list[Any]] = {
    **{
        name: [8.0, 200.5, True, "8", (8,), math.inf, math.nan]
        for name in ("size", "memory_mb", "concurrency", "max_jobs", "max_rss_mb", "max_restarts", "open_files")
    },
    **{name: [True, "60", (60,), object()] for name in ("within", "idle_after", "cpu")},
    "env": ["HOME", ["HOME"], {"HOME"}, None, ("HOME", 3), (b"HOME",)],
    "fresh": [1, "yes", None],
    "workdir": [3, ("/",)],
}


@pytest.mark.parametrize("name", OF_ANOTHER_TYPE)
def test_an_option_of_another_type_is_refused_by_its_name(name: str) -> None:
    for value in OF_ANOTHER_TYPE[name]:
        with pytest.raises(TypeError, match=f"a pool's {name} "):
            Pool(**{name: value})


def test_every_option_of_a_pool_that_is_wrong_is_named_at_once() -> None:
    wrong = {name: values[0] for name, values in OF_ANOTHER_TYPE.items()}
    with pytest.raises(TypeError) as caught:
        Pool(**wrong, strategy="all", backend="thread")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    named = [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]]
    assert sorted(named) == sorted([*wrong, "strategy", "backend"])
    assert sorted(named) == sorted(field.name for field in fields(Pool)), "an option that nothing checks"


def test_an_owner_that_fails_does_not_harm_the_pool(make: Callable[..., World]) -> None:
    world = make()

    def fail(event: JobEvent) -> None:
        raise RuntimeError(event)

    world.tell(Submit(replace(world.owner.job("a"), reply=fail)))
    world.life("a").answer("a")
    world.submit("b")
    world.life("b").answer("b")
    assert world.owner.answered("b")


# ---------------------------------------------------------------- hold and release


def test_a_held_job_is_not_sent_before_its_release(make: Callable[..., World]) -> None:
    world = make()
    world.submit("a", hold=True, timeout=5.0)
    assert world.owner.worker("a") == "tool-1"
    world.wait_beating(8)
    assert world.backend.lives[0].work == []
    world.tell(Release("a"))
    assert world.backend.lives[0].work == ["a"]


def test_a_held_job_whose_worker_dies_goes_to_another_and_is_not_lost(make: Callable[..., World]) -> None:
    world = make()
    world.submit("a", hold=True)
    world.backend.lives[0].die()
    world.wait(1.0)
    assert [type(event) for event in world.owner.heard["a"]] == [Assigned, Assigned]
    world.tell(Release("a"))
    assert world.life("a").spec.incarnation == 2


def test_a_release_stays_with_the_job(make: Callable[..., World]) -> None:
    """It may arrive while the job waits for a second worker, because the first one died."""
    world = make(size=1)
    world.submit("a", hold=True)
    world.backend.on_spawn = asleep
    world.backend.lives[0].die()
    world.wait(1.0)
    world.tell(Release("a"))
    world.backend.lives[1].become_ready()
    assert world.backend.lives[1].work == ["a"]


# ---------------------------------------------------------------- what was never read


def deaf(world: World, token: str, **options: Any) -> Any:
    """Give the worker a job, the only one, that it does not read."""
    life = world.backend.lives[-1]
    life.reading = False
    world.submit(token, **options)
    assert world.owner.worker(token) == life.spec.worker
    return life


@pytest.mark.parametrize(
    "end",
    [
        SEGFAULT,
        SEGFAULT.model_copy(update={"injected": True}),
        Exit(kind="exited", code=0),
        Exit(kind="hung"),
        Exit(kind="out_of_memory"),
        Exit(kind="backend_lost"),
    ],
    ids=lambda end: f"{end.kind}{'-injected' * end.injected}",
)
@pytest.mark.parametrize("kind", ["tool", "evaluator", "llm"])
def test_a_job_that_its_worker_never_read_goes_to_the_next_life(
    make: Callable[..., World], kind: Any, end: Exit
) -> None:
    world = make(kind, size=1)
    world.submit("first")
    world.life("first").answer("first")
    life = deaf(world, "a")
    life.die(end)
    world.wait(1.0)
    assert [type(event) for event in world.owner.heard["a"]] == [Assigned, Assigned]
    again = world.life("a")
    assert again is not life
    again.answer("a")
    assert world.owner.answered("a")
    assert not [event for event in world.events if event.charged]


def test_only_what_was_read_is_charged(make: Callable[..., World]) -> None:
    world = make("llm", size=1)
    world.submit("a")
    life = deaf(world, "b")
    life.die(SEGFAULT)
    world.wait()
    assert world.owner.lost("a").charged
    assert world.life("b") is not life
    assert world.owner.ends("b") == []


def test_a_worker_takes_no_job_from_its_death_on_though_it_is_not_buried(make: Callable[..., World]) -> None:
    world = make(size=1)
    world.submit("first")
    life = world.life("first")
    life.answer("first")
    life.die_unconfirmed()
    world.submit("a")
    assert world.owner.heard["a"] == []
    life.die(SEGFAULT)
    world.wait(1.0)
    assert [type(event) for event in world.owner.heard["a"]] == [Assigned]
    assert world.life("a").spec.incarnation == 2


def test_what_a_worker_said_before_its_death_still_counts_before_its_burial(make: Callable[..., World]) -> None:
    world = make(size=1)
    world.submit("a")
    life = world.life("a")
    life.die_unconfirmed()
    life.answer("a")
    life.die(SEGFAULT)
    assert world.owner.answered("a")


def test_a_deadline_that_passed_unread_is_nobodys(make: Callable[..., World]) -> None:
    world = make(size=1)
    world.submit("first")
    world.life("first").answer("first")
    life = deaf(world, "a", timeout=2.0)
    world.wait(2.1)
    assert [kill.kind for kill, _ in life.kills] == [TIMEOUT]
    world.wait(1.0)
    assert world.owner.ends("a") == []
    world.life("a").answer("a")
    assert world.owner.answered("a")


def test_a_call_that_keeps_the_next_one_from_being_read_is_the_one_to_blame(make: Callable[..., World]) -> None:
    world = make("llm", size=1)
    world.submit("a")
    deaf(world, "b", timeout=2.0)
    world.wait(4.0)
    assert world.owner.lost("a").charged
    assert world.owner.lost("a").exit.kind == "blocked"
    world.life("b").answer("b")
    assert world.owner.answered("b")


def test_an_unread_job_that_is_withdrawn_is_over_with_its_worker(make: Callable[..., World]) -> None:
    world = make(size=1)
    world.submit("first")
    world.life("first").answer("first")
    deaf(world, "a")
    done: list[bool] = []
    world.tell(Withdraw("a", done=lambda: done.append(True)))
    world.wait(1.0)
    assert done == [True]
    assert world.owner.ends("a") == []
    assert all("a" not in life.work for life in world.backend.lives)


def test_a_program_that_was_never_read_is_lost_uncharged_and_so_is_a_turn(make: Callable[..., World]) -> None:
    world = make("program", size=1)
    world.submit("a", start("run-a"), streaming=True)
    life = world.backend.lives[0]
    life.say(turn("run-a"))
    life.reading = False
    world.tell(Send("a", resolve("run-a")))
    world.submit("b", start("run-b"), streaming=True)
    life.die(SEGFAULT)
    assert [world.owner.charged(token) for token in "ab"] == [False, False]


def test_a_job_that_is_never_read_cannot_restart_workers_for_ever(make: Callable[..., World]) -> None:
    world = make(size=1, max_restarts=3)

    def deaf_from_birth(worker: Any) -> None:
        worker.reading = False
        worker.become_ready()
        world.loop.call_later(0.01, worker.die, SEGFAULT)

    world.backend.on_spawn = deaf_from_birth
    world.submit("a")
    world.wait(30.0)
    assert "given up" in world.owner.refusal("a")
    assert len(world.backend.lives) == 4


# ---------------------------------------------------------------- death


def test_a_death_is_charged_to_the_job_that_ran(make: Callable[..., World]) -> None:
    world = make()
    world.submit("a")
    world.life("a").die(SEGFAULT)
    assert world.owner.lost("a").charged
    assert world.owner.lost("a").exit == SEGFAULT
    exited = next(event for event in world.events if event.kind == "exited")
    assert (exited.worker, exited.pid, exited.charged) == ("tool-1", 101, ("a",))


@pytest.mark.parametrize(
    "end",
    [SEGFAULT.model_copy(update={"injected": True}), Exit(kind="backend_lost"), Exit(kind="orchestrator_lost")],
    ids=lambda end: end.kind,
)
def test_nobody_is_charged_for_an_injected_fault_or_a_lost_backend(make: Callable[..., World], end: Exit) -> None:
    world = make()
    world.submit("a")
    world.life("a").die(end)
    assert not world.owner.lost("a").charged


def test_a_worker_that_dies_before_it_is_ready_loses_no_job(make: Callable[..., World]) -> None:
    world = make()
    world.backend.on_spawn = lambda worker: worker.die() if worker.spec.incarnation == 1 else worker.become_ready()
    world.submit("a")
    world.wait(1.0)
    assert world.owner.heard["a"] == [Assigned("a", "tool-1", 101, 2)]


def test_a_killed_worker_is_replaced_at_once_though_no_job_waits(make: Callable[..., World]) -> None:
    world = make()
    world.submit("a")
    world.life("a").answer("a")
    before = world.loop.time()
    world.backend.lives[0].die()
    world.wait()
    assert world.loop.time() == before
    assert world.starts() == ["tool-1/1", "tool-1/2"]
    assert world.pool.workers()[0].status == "idle"
    assert world.pool.workers()[0].restarts == 1


def test_words_of_a_past_life_and_of_unknown_work_are_dropped_and_counted(make: Callable[..., World]) -> None:
    world = make()
    world.submit("a")
    past = world.life("a")
    listener = past.listener
    past.die()
    world.submit("b")
    past.alive, past.listener = True, listener
    past.answer("b")
    world.life("b").answer("nobody's")
    assert world.owner.ends("b") == []
    assert world.pool.dispatcher.dropped == 2


def test_a_worker_that_answers_with_another_kind_of_message_is_ended_as_garbage(make: Callable[..., World]) -> None:
    world = make()
    world.submit("a")
    world.life("a").say(Judged(token="a", score=1.0))
    world.wait()
    assert world.owner.lost("a").exit.kind == "garbage"
    assert world.owner.lost("a").charged


def test_a_worker_that_says_that_its_attempt_was_cancelled_without_being_asked_is_ended(
    make: Callable[..., World],
) -> None:
    world = make()
    world.submit("a")
    failure = Failure(outcome="cancelled", message="the attempt was aborted")
    world.life("a").say(Failed(token="a", failure=failure, duration=0.1))
    world.wait()
    assert world.owner.lost("a").exit.kind == "garbage"
    assert world.owner.lost("a").charged


def test_kill_worker_sends_the_signal_as_an_injected_fault(make: Callable[..., World]) -> None:
    world = make()
    world.submit("a")
    world.tell(KillWorker("tool-1", 9))
    assert world.owner.lost("a").exit.injected
    assert not world.owner.lost("a").charged
    world.tell(KillWorker("tool-9", 9))


# ---------------------------------------------------------------- deadlines


def test_an_attempt_that_overruns_ends_with_its_worker_and_is_lost_only_then(make: Callable[..., World]) -> None:
    world = make()
    world.submit("a", timeout=3.0)
    life = world.life("a")
    life.prompt = False
    world.wait_beating(4)
    assert [(reason.kind, number) for reason, number in life.kills] == [(TIMEOUT, 9)]
    assert world.owner.ends("a") == [], "the process is not confirmed dead yet"
    life.answer("a")
    assert world.owner.ends("a") == [], "a result that comes after the decision is void"
    assert world.pool.dispatcher.dropped == 1
    life.die(life.kills[0][0].model_copy(update={"stderr": "where it stood"}))
    assert world.owner.lost("a").exit == Exit(kind="timeout", detail="search had 3 s", stderr="where it stood")
    assert world.owner.lost("a").charged


def test_a_deadline_runs_from_being_sent_and_not_from_being_queued(make: Callable[..., World]) -> None:
    world = make(size=1)
    world.submit("a")
    world.submit("b", timeout=3.0)
    world.wait_beating(10)
    world.life("a").answer("a")
    world.wait_beating(2)
    world.life("b").answer("b")
    assert world.owner.answered("b")


def test_a_model_call_that_overruns_is_asked_to_abort_and_the_others_go_on(make: Callable[..., World]) -> None:
    world = make("llm")
    world.submit("a", timeout=3.0)
    world.submit("b")
    life = world.life("a")
    world.wait(3.1)
    assert life.sent[-1] == Abort(token="a")
    life.answer("a")
    assert world.owner.lost("a").exit.kind == TIMEOUT
    assert world.owner.lost("a").charged
    life.answer("b")
    assert world.owner.answered("b")
    assert life.kills == []


def test_a_model_call_that_will_not_abort_ends_its_worker_and_its_neighbours_are_not_charged(
    make: Callable[..., World],
) -> None:
    world = make("llm")
    world.submit("a", timeout=3.0)
    world.submit("b")
    world.wait(4.2)
    assert world.owner.lost("a").charged
    assert world.owner.lost("b").exit.kind == TIMEOUT
    assert not world.owner.lost("b").charged


def test_a_worker_that_was_asked_to_abort_gets_no_new_jobs_meanwhile(make: Callable[..., World]) -> None:
    world = make("llm", size=2)
    world.submit("a", timeout=3.0)
    first = world.life("a")
    world.wait(3.5)
    world.submit("b")
    assert world.life("b") is not first
    first.answer("a")
    world.wait()
    world.submit("c")
    assert world.life("c") is first


def test_a_timeout_that_follows_an_injected_fault_is_not_charged(make: Callable[..., World]) -> None:
    world = make()
    world.submit("a", timeout=2.0)
    life = world.life("a")
    life.prompt = False
    world.tell(KillWorker("tool-1", 19))
    world.wait(2.1)
    life.die(life.kills[0][0].model_copy(update={"injected": True}))
    assert not world.owner.lost("a").charged


# ---------------------------------------------------------------- withdrawal


def test_a_queued_job_that_is_withdrawn_is_forgotten(make: Callable[..., World]) -> None:
    world = make(size=1)
    done: list[Any] = []
    world.submit("a")
    world.submit("b")
    world.submit("c")
    world.tell(Withdraw("b", done=lambda: done.append("b")))
    world.life("a").answer("a")
    assert done == ["b"]
    assert world.backend.lives[0].work == ["a", "c"]
    assert world.owner.heard["b"] == []


def test_a_running_job_that_is_withdrawn_may_end_by_itself(make: Callable[..., World]) -> None:
    world = make()
    done: list[Any] = []
    world.submit("a")
    world.tell(Withdraw("a", grace=5.0, done=lambda: done.append("a")))
    life = world.life("a")
    assert life.sent[-1] == Abort(token="a")
    assert done == []
    life.answer("a")
    assert done == ["a"]
    assert world.owner.ends("a") == []
    world.submit("b")
    assert world.life("b") is life


def test_a_running_job_that_is_withdrawn_ends_with_its_worker_after_the_grace(make: Callable[..., World]) -> None:
    world = make()
    done: list[Any] = []
    world.submit("a")
    world.tell(Withdraw("a", grace=5.0, done=lambda: done.append("a")))
    world.wait_beating(4)
    assert done == []
    world.wait_beating(2)
    assert done == ["a"]
    assert world.owner.ends("a") == []
    assert world.kinds().count("ready") == 2, "and another worker takes its place"


def test_what_has_ended_already_is_withdrawn_at_once(make: Callable[..., World]) -> None:
    world = make()
    done: list[Any] = []
    world.tell(Withdraw("never heard of", done=lambda: done.append(True)))
    assert done == [True]


def test_withdrawing_an_overrun_job_silences_it(make: Callable[..., World]) -> None:
    world = make()
    done: list[Any] = []
    world.submit("a", timeout=2.0)
    life = world.life("a")
    life.prompt = False
    world.wait(2.1)
    world.tell(Withdraw("a", done=lambda: done.append(True)))
    assert done == []
    life.die(life.kills[0][0])
    assert done == [True]
    assert world.owner.ends("a") == []


# ---------------------------------------------------------------- solo


def test_a_solo_job_runs_alone_in_a_fresh_worker_that_ends_with_it(make: Callable[..., World]) -> None:
    world = make(size=1)
    world.submit("a")
    world.submit("s", solo=True)
    world.submit("b")
    solo = world.life("s")
    assert solo is not world.life("a")
    assert solo.work == ["s"]
    solo.answer("s")
    world.wait()
    assert world.owner.answered("s")
    assert solo.work == ["s"]
    assert not solo.alive
    world.life("a").answer("a")
    world.wait()
    assert world.owner.worker("b") == "tool-1"


def test_a_solo_worker_that_dies_is_not_begun_again(make: Callable[..., World]) -> None:
    world = make(strategy="one_for_all")
    world.submit("s", solo=True)
    world.life("s").die(SEGFAULT)
    world.wait(60.0)
    assert world.owner.lost("s").charged
    assert world.starts() == ["tool-1/1"]


def test_a_solo_worker_that_fails_to_start_is_begun_again_for_its_job(make: Callable[..., World]) -> None:
    world = make()
    world.backend.on_spawn = lambda worker: worker.die() if worker.spec.incarnation == 1 else worker.become_ready()
    world.submit("s", solo=True)
    world.wait(1.0)
    assert world.owner.worker("s") == "tool-1"
    assert world.life("s").spec.incarnation == 2


def test_a_withdrawn_solo_job_leaves_no_worker_behind(make: Callable[..., World]) -> None:
    world = make()
    world.backend.on_spawn = asleep
    world.submit("s", solo=True)
    world.tell(Withdraw("s"))
    world.backend.lives[0].become_ready()
    world.wait()
    assert world.backend.alive == []


# ---------------------------------------------------------------- shared workers


def test_with_several_model_calls_in_flight_nobody_is_charged(make: Callable[..., World]) -> None:
    world = make("llm")
    world.submit("a")
    world.submit("b")
    world.life("a").die(SEGFAULT)
    assert not world.owner.lost("a").charged
    assert not world.owner.lost("b").charged


def test_the_only_model_call_in_flight_is_charged(make: Callable[..., World]) -> None:
    world = make("llm")
    world.submit("a")
    world.life("a").die(SEGFAULT)
    assert world.owner.lost("a").charged


def test_a_model_call_twice_suspected_runs_alone_so_that_it_can_be_charged_or_cleared(
    make: Callable[..., World],
) -> None:
    world = make("llm")
    for attempt in range(2):
        for step in "ab":
            world.submit(f"{step}{attempt}", execute(f"{step}{attempt}", key=step), run_id="run")
        world.life(f"a{attempt}").die(SEGFAULT)
        world.wait()
    for step in "ab":
        world.submit(f"{step}2", execute(f"{step}2", key=step), run_id="run")
    culprit, innocent = world.life("a2"), world.life("b2")
    assert culprit is not innocent
    culprit.die(SEGFAULT)
    innocent.answer("b2")
    assert world.owner.lost("a2").charged
    assert world.owner.answered("b2")


# ---------------------------------------------------------------- programs


def program(world: World, run_id: str) -> None:
    world.submit(run_id, start(run_id), run_id=run_id, label="research", streaming=True)


def test_a_program_is_answered_many_times_until_it_is_withdrawn(make: Callable[..., World]) -> None:
    world = make("program")
    done: list[Any] = []
    program(world, "r")
    life = world.backend.lives[0]
    for _ in range(3):
        life.say(turn("r"))
        world.tell(Send("r", resolve("r")))
    assert len(world.owner.ends("r")) == 3
    world.tell(Withdraw("r", farewell("r"), done=lambda: done.append(True)))
    assert isinstance(life.sent[-1], EndProgram)
    assert done == [True]
    life.say(turn("r"))
    assert len(world.owner.ends("r")) == 3
    assert life.kills == []


def test_only_the_run_that_held_the_loop_is_charged(make: Callable[..., World]) -> None:
    world = make("program", size=1)
    for run_id in "abc":
        program(world, run_id)
        world.backend.lives[0].say(turn(run_id))
    world.tell(Send("b", resolve("b")))
    world.tell(Send("c", resolve("c")))
    world.backend.lives[0].die(SEGFAULT)
    charged = {run_id: world.owner.charged(run_id) for run_id in "abc"}
    assert charged == {"a": False, "b": True, "c": False}


def test_nobody_is_charged_where_no_run_held_the_loop(make: Callable[..., World]) -> None:
    world = make("program", size=1)
    for run_id in "ab":
        program(world, run_id)
        world.backend.lives[0].say(turn(run_id))
    world.backend.lives[0].die(SEGFAULT)
    assert not any(world.owner.charged(run_id) for run_id in "ab")


def test_a_program_that_blocks_its_loop_is_ended_and_charged_by_name(make: Callable[..., World]) -> None:
    world = make("program", size=1)
    for run_id in "ab":
        program(world, run_id)
    life = world.backend.lives[0]
    life.beat(busy=10.5, run_id="b")
    world.wait(1.1)
    assert [reason.kind for reason, _ in life.kills] == ["blocked"]
    assert not world.owner.lost("a").charged
    assert world.owner.lost("b").charged
    assert world.owner.lost("b").exit.detail == "a program held the event loop for 10 s"


def test_a_run_that_was_sent_away_while_it_held_the_loop_leaves_no_blame_to_others(make: Callable[..., World]) -> None:
    world = make("program", size=1)
    program(world, "gone")
    program(world, "here")
    world.tell(Withdraw("gone", farewell("gone")))
    world.backend.lives[0].die(SEGFAULT)
    assert not world.owner.lost("here").charged


def test_a_turn_that_never_came_is_settled_by_the_next_one(make: Callable[..., World]) -> None:
    world = make("program", size=1)
    program(world, "gone")
    world.tell(Withdraw("gone", farewell("gone")))
    program(world, "here")
    life = world.backend.lives[0]
    life.say(turn("here"))
    world.tell(Send("here", resolve("here")))
    life.die(SEGFAULT)
    assert world.owner.charged("here")


def test_a_question_that_is_not_answered_in_time_costs_other_programs_nothing(make: Callable[..., World]) -> None:
    world = make("program", size=1)
    program(world, "r")
    world.backend.lives[0].say(turn("r"))
    world.submit("q", DescribeApp(id="q"), timeout=10.0)
    world.wait_beating(9)
    assert world.backend.lives[0].alive
    assert world.owner.ends("q") == []
    world.wait_beating(2)
    assert world.owner.lost("q").exit.kind == TIMEOUT
    assert not world.backend.lives[0].alive, "it holds the loop, so no program there can go on"
    assert not world.owner.charged("r")
    assert isinstance(world.owner.heard["r"][-1], Lost), "so that it is sent again"
    world.backend.lives[0].say(AppDescribed(id="q", definitions=()))
    assert len(world.owner.ends("q")) == 1


# ---------------------------------------------------------------- restarts


def test_failed_starts_back_off_and_then_degrade_the_pool_with_evidence(make: Callable[..., World]) -> None:
    world = make(within=60.0)
    end = Exit(kind="exited", code=3, stderr="Traceback ...\nImportError: no module named lib\n")
    world.backend.on_spawn = lambda worker: worker.die(end)
    world.submit("a")
    world.wait(30.0)
    assert len(world.backend.lives) == 6
    delays = [event.delay for event in world.events if event.kind == "restarting"]
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6])
    assert world.kinds()[-1] == "degraded"
    assert world.owner.refusal("a") == (
        "the workers of pool tool for app.py die as often as they are started, so starting them was given up. The last "
        'one, tool-1, exited with code 3; it said: "ImportError: no module named lib". Mend what '
        "ends them; work for them is taken again after 60 s"
    )
    world.submit("b")
    assert world.owner.refusal("b") == world.owner.refusal("a")
    assert world.pool.record().status == "degraded"
    assert world.pool.workers() == []


def test_a_first_worker_that_says_that_none_can_start_is_believed_at_once(make: Callable[..., World]) -> None:
    world = make(within=60.0)
    said = "sh: 1: no-such-command: not found\nSystemExit: the server ended with exit code 127\n"
    hopeless = Exit(kind="exited", code=CANNOT_START, stderr=said)
    world.backend.on_spawn = lambda worker: worker.die(hopeless)
    world.submit("a")
    world.wait(30.0)
    assert len(world.backend.lives) == 1
    assert world.owner.refusal("a") == (
        "no worker of pool tool for app.py can be started: the server ended with exit code 127; the line before that "
        'is "sh: 1: no-such-command: not found". Work for the pool is taken again after 60 s'
    )
    world.wait(31.0)  # the pause
    world.backend.on_spawn = lambda worker: worker.become_ready()
    world.submit("b")
    world.life("b").answer("b")


def test_a_worker_that_says_so_after_another_one_was_ready_is_tried_again(make: Callable[..., World]) -> None:
    world = make(within=60.0, size=1)
    world.backend.on_spawn = lambda worker: worker.become_ready()
    world.submit("a")
    world.life("a").answer("a")
    hopeless = Exit(kind="exited", code=CANNOT_START, stderr="SystemExit: it ended\n")
    world.backend.on_spawn = lambda worker: worker.die(hopeless)
    world.backend.lives[0].die()
    world.wait(30.0)
    assert len(world.backend.lives) > 3
    assert world.kinds()[-1] == "degraded"


def test_a_pool_waits_for_what_its_workers_need_and_once_had(make: Callable[..., World]) -> None:
    world = make(within=60.0, size=1)
    world.backend.on_spawn = lambda worker: worker.become_ready()
    world.submit("a")
    world.life("a").answer("a")
    missing = Exit(kind="exited", code=NOT_YET, stderr="SystemExit: the server cannot be reached\n")
    world.backend.on_spawn = lambda worker: worker.die(missing)
    world.backend.lives[0].die()
    world.submit("b")
    world.wait(300.0)
    assert "degraded" not in world.kinds()
    assert world.owner.ends("b") == []
    assert world.pool.record().status == "short"
    assert "the server cannot be reached" in world.pool.record().detail
    world.backend.on_spawn = lambda worker: worker.become_ready()
    world.wait(1.6)
    world.life("b").answer("b")
    assert world.owner.answered("b")
    assert world.kinds().count("recovered") == 1


def test_a_pool_that_never_had_it_gives_up(make: Callable[..., World]) -> None:
    world = make(within=60.0)
    world.backend.on_spawn = lambda worker: worker.die(Exit(kind="exited", code=NOT_YET, stderr="SystemExit: gone\n"))
    world.submit("a")
    world.wait(30.0)
    assert "so starting them was given up" in world.owner.refusal("a")


def test_a_degraded_pool_takes_work_again_after_its_pause(make: Callable[..., World]) -> None:
    world = make(max_restarts=0, within=10.0)
    world.backend.on_spawn = lambda worker: worker.die()
    world.submit("a")
    world.wait(10.1)
    world.backend.on_spawn = lambda worker: worker.become_ready()
    world.submit("b")
    world.life("b").answer("b")
    assert world.owner.answered("b")
    assert world.pool.record().status == "running"


def test_idle_deaths_beyond_the_budget_degrade_the_pool_and_running_jobs_go_on(make: Callable[..., World]) -> None:
    world = make(size=2, max_restarts=2)
    world.submit("a")
    world.submit("b")
    busy = world.life("a")
    world.life("b").answer("b")
    for _ in range(3):
        next(worker for worker in world.backend.alive if worker is not busy).die()
        world.wait(0.5)
    world.submit("c")
    assert "given up" in world.owner.refusal("c")
    busy.answer("a")
    assert world.owner.answered("a")


def test_a_held_job_whose_worker_dies_while_the_pool_is_degraded_is_told(make: Callable[..., World]) -> None:
    world = make(size=2, max_restarts=0)
    world.submit("a", hold=True)
    world.submit("b")
    world.life("b").answer("b")
    world.life("b").die()
    world.wait()
    assert world.kinds()[-1] == "degraded"
    world.backend.lives[0].die()
    world.wait()
    assert "given up" in world.owner.refusal("a")


def seats(world: World, number: int, *, refused: bool = False) -> None:
    """Let a start fail while as many workers live as there are seats."""

    def take(worker: Any) -> None:
        if sum(other.pid is not None for other in world.backend.alive) < number:
            worker.become_ready()
        else:
            worker.die(NO_SEAT.model_copy(update={"refused": refused}))

    world.backend.on_spawn = take


def work_off(world: World, tokens: list[str], seconds: float = 60.0) -> None:
    """Answer whatever is being worked on, until all of these jobs have had their answer."""
    for _ in range(int(seconds / 0.5)):
        for worker in list(world.backend.alive):
            for token in worker.work:
                worker.answer(token)
        for worker in world.backend.alive:
            worker.beat()
        world.wait(0.5)
    assert all(world.owner.answered(token) for token in tokens), [world.owner.heard[token] for token in tokens]


NO_SEAT = Exit(kind="start_failed", detail="no seat is free")


@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_failing_to_grow_takes_nothing_away_and_is_said(
    make: Callable[..., World], strategy: str, refused: bool
) -> None:
    world = make(size=8, max_restarts=2, strategy=strategy)
    seats(world, 4, refused=refused)
    tokens = [f"j{number}" for number in range(30)]
    for token in tokens:
        world.submit(token)
    world.wait(2.0)
    assert world.pool.record().status == "short"
    assert "has 4 of 8 workers and cannot begin more" in world.pool.record().detail
    assert "no seat is free" in world.pool.record().detail
    work_off(world, tokens)
    assert world.kinds().count("short") == 1
    assert "degraded" not in world.kinds()
    assert len([event for event in world.events if event.kind == "exited"]) < 20, "attempts to grow come ever rarer"


def test_a_pool_that_was_short_grows_again_once_it_can(make: Callable[..., World]) -> None:
    world = make(size=4)
    seats(world, 1)
    for number in range(8):
        world.submit(f"j{number}")
    world.wait(5.0)
    seats(world, 4)
    for _ in range(40):
        for worker in world.backend.alive:
            worker.beat()
        world.wait(1.0)
    assert len(world.backend.alive) == 4
    assert world.pool.record().status == "running"
    assert "recovered" in world.kinds()


@pytest.mark.parametrize("kind", ["tool", "program"])
def test_what_the_kernel_refuses_is_waited_for_and_a_question_is_answered(
    make: Callable[..., World], kind: Any
) -> None:
    world = make(kind, size=2, max_restarts=0)
    refused = Exit(kind="start_failed", refused=True, detail="[Errno 11] Resource temporarily unavailable")
    world.backend.on_spawn = lambda worker: worker.die(refused)
    world.submit("a")
    world.submit("q", DescribeApp(id="q"), pressing=True)
    world.wait(120.0)
    assert "Errno 11" in world.owner.refusal("q")
    assert world.owner.heard["a"] == []
    assert len(world.backend.lives) < 30
    world.backend.on_spawn = lambda worker: worker.become_ready()
    world.wait(31.0)
    world.life("a").answer("a")
    assert world.owner.answered("a")


def test_a_solo_job_that_cannot_begin_while_others_work_waits_and_does_not_storm(make: Callable[..., World]) -> None:
    world = make(size=2)
    seats(world, 1)
    world.submit("busy")
    world.submit("alone", solo=True)
    for _ in range(60):
        world.life("busy").beat()
        world.wait(1.0)
    assert len(world.backend.lives) < 20
    seats(world, 2)
    for _ in range(31):
        world.life("busy").beat()
        world.wait(1.0)
    world.life("alone").answer("alone")
    assert world.owner.answered("alone")


def test_a_poisonous_job_never_degrades_the_pool_of_its_neighbours(make: Callable[..., World]) -> None:
    world = make(size=1, max_restarts=0)
    for attempt in range(20):
        world.submit(f"poison{attempt}")
        world.life(f"poison{attempt}").die(SEGFAULT)
        world.wait()
    world.submit("a")
    world.life("a").answer("a")
    assert world.owner.answered("a")
    assert world.pool.supervisor.crashes == 20
    assert "degraded" not in world.kinds()


def test_injected_faults_and_lost_backends_never_count(make: Callable[..., World]) -> None:
    world = make(max_restarts=0)
    world.submit("a")
    world.life("a").answer("a")
    for _ in range(10):
        world.tell(KillWorker("tool-1"))
        world.backend.alive[0].die(Exit(kind="backend_lost"))
        world.wait()
    assert world.kinds().count("restarting") == 20
    assert all(event.delay == 0.0 for event in world.events if event.kind == "restarting")
    assert "degraded" not in world.kinds()


def test_a_worker_that_is_not_ready_in_time_is_ended_and_begun_again(make: Callable[..., World]) -> None:
    world = make()
    world.backend.on_spawn = lambda worker: worker.launch() if worker.spec.incarnation == 1 else worker.become_ready()
    world.submit("a")
    world.wait(29.0)
    assert len(world.backend.lives) == 1
    world.wait(2.0)
    assert world.backend.lives[0].kills == [(Exit(kind="start_failed", detail="it was not ready within 30 s"), 9)]
    assert world.life("a").spec.incarnation == 2


def test_no_more_workers_start_at_once_than_the_gate_allows(make: Callable[..., World]) -> None:
    world = make(size=8, starts=2)
    world.backend.on_spawn = asleep
    for token in "abcdefgh":
        world.submit(token)
    assert len(world.backend.lives) == 2
    world.backend.lives[0].become_ready()
    world.wait()
    assert len(world.backend.lives) == 3
    world.backend.lives[1].die()
    world.wait()
    assert len(world.backend.lives) == 4
    assert repr(world.gate) == "<StartGate 2 of 2 starting, 4 waiting>"


def grown(world: World, count: int) -> list[str]:
    """Have so many workers ready and idle, in start order; give their ids."""
    for number in range(count):
        world.submit(f"grow{number}")
    for number in range(count):
        world.life(f"grow{number}").answer(f"grow{number}")
    return [worker.id for worker in world.pool.workers()]


def test_one_for_all_ends_every_sibling_and_begins_all_in_order(make: Callable[..., World]) -> None:
    world = make(size=3, strategy="one_for_all")
    grown(world, 3)
    world.submit("a")
    bystander = world.owner.worker("a")
    world.backend.alive[0].die(SEGFAULT)
    world.wait()
    assert bystander == "tool-3"
    assert not world.owner.lost("a").charged
    assert world.owner.lost("a").exit.detail == "it is restarted together with tool-1"
    assert world.starts()[3:] == ["tool-1/2", "tool-2/2", "tool-3/2"]


def test_rest_for_one_spares_the_workers_begun_before(make: Callable[..., World]) -> None:
    world = make(size=3, strategy="rest_for_one")
    grown(world, 3)
    world.backend.alive[1].die(SEGFAULT)
    world.wait()
    assert world.starts()[3:] == ["tool-2/2", "tool-3/2"]


def test_nobody_begins_again_before_the_last_sibling_is_confirmed_dead(make: Callable[..., World]) -> None:
    world = make(size=3, strategy="one_for_all")
    grown(world, 3)
    first, second, third = world.backend.alive
    second.obedient = second.prompt = False
    first.die(SEGFAULT)
    world.wait(10.0)
    assert len(world.starts()) == 3
    assert not third.alive
    second.die(Exit(kind="stopped"))
    world.wait()
    assert world.starts()[3:] == ["tool-1/2", "tool-2/2", "tool-3/2"]
    assert world.kinds().count("exited") == 3


def test_a_solo_worker_that_falls_with_its_siblings_before_it_began_is_replaced(make: Callable[..., World]) -> None:
    world = make(size=2, strategy="one_for_all", starts=1)
    grown(world, 1)
    world.backend.on_spawn = asleep
    world.submit("a")
    world.submit("b")
    world.submit("s", solo=True)
    assert len(world.backend.lives) == 2, "the solo worker waits at the gate"
    world.life("a").die(SEGFAULT)
    world.wait()
    world.backend.on_spawn = lambda worker: worker.become_ready()
    for worker in list(world.backend.alive):
        worker.become_ready()
    world.wait()
    world.life("s").answer("s")
    assert world.owner.answered("s")


def test_restarts_under_way_are_joined_by_a_second_death(make: Callable[..., World]) -> None:
    world = make(size=3, strategy="rest_for_one")
    grown(world, 3)
    first, second, third = world.backend.alive
    third.obedient = third.prompt = False
    second.die(SEGFAULT)
    world.wait()
    first.die(SEGFAULT)
    world.wait(10.0)
    assert len(world.starts()) == 3
    third.die(Exit(kind="stopped"))
    world.wait()
    assert world.starts()[3:] == ["tool-1/2", "tool-2/2", "tool-3/2"]


def stopped(worker: MemoryWorker) -> bool:
    return any(isinstance(message, Stop) for message in worker.sent)


def test_siblings_are_shut_down_one_after_another_last_begun_first_each_with_its_deadlines(
    make: Callable[..., World],
) -> None:
    world = make(size=4, strategy="one_for_all")
    grown(world, 4)
    first, second, third, fourth = world.backend.alive
    for worker in (second, third):
        worker.obedient = False
    first.die(SEGFAULT)
    world.wait()
    assert not fourth.alive, "it ends when told to"
    assert fourth.kills == []
    assert stopped(third)
    world.wait(4.9)
    assert third.kills == []
    assert not stopped(second)
    world.wait(0.2)
    assert [number for _, number in third.kills] == [15]
    world.wait(1.0)
    assert [number for _, number in third.kills] == [15, 9]
    assert not third.alive
    assert stopped(second)
    assert second.kills == []
    assert len(world.starts()) == 4
    world.wait(6.1)
    assert world.starts()[4:] == ["tool-1/2", "tool-2/2", "tool-3/2", "tool-4/2"]
    assert "degraded" not in world.kinds()


def test_a_job_in_a_sibling_has_the_grace_to_finish_and_is_lost_uncharged_otherwise(make: Callable[..., World]) -> None:
    world = make(size=3, strategy="one_for_all")
    grown(world, 3)
    for token in ("a", "b", "c"):
        world.submit(token)
    lives = {token: world.life(token) for token in ("a", "b", "c")}
    first, second, third = world.backend.alive
    second.obedient = third.obedient = False
    finishes = next(token for token, life in lives.items() if life is third)
    does_not = next(token for token, life in lives.items() if life is second)
    first.die(SEGFAULT)
    world.wait(1.0)
    third.answer(finishes)
    third.die(Exit(kind="exited", code=0))
    world.wait(7.0)
    assert world.owner.answered(finishes)
    assert not world.owner.charged(does_not)
    assert world.owner.lost(does_not).exit.kind == "stopped"
    assert world.starts()[3:] == ["tool-1/2", "tool-2/2", "tool-3/2"]


def test_nothing_is_begun_in_a_sibling_that_waits_to_be_shut_down_nor_beside_it(make: Callable[..., World]) -> None:
    world = make(size=4, strategy="one_for_all")
    grown(world, 3)
    first, second, third = world.backend.alive
    third.obedient = False
    first.die(SEGFAULT)
    for token in ("a", "b", "c", "d"):
        world.submit(token)
    world.submit("s", solo=True)
    assert not {"a", "b", "c", "d", "s"} & {*second.work, *third.work}
    assert len(world.starts()) == 3, "no other one is begun before they are down"
    world.wait(6.1)
    assert world.starts()[3:6] == ["tool-1/2", "tool-2/2", "tool-3/2"]
    for token in ("a", "b", "c", "d", "s"):
        world.life(token).answer(token)
        assert world.owner.answered(token)


def test_a_pool_that_gives_up_meanwhile_still_shuts_its_siblings_down(make: Callable[..., World]) -> None:
    world = make(size=3, strategy="rest_for_one", max_restarts=1, within=10.0)
    grown(world, 3)
    first, second, third = world.backend.alive
    third.obedient = False
    second.die(SEGFAULT)
    world.wait()
    first.die(SEGFAULT)
    world.wait(7.0)
    assert world.pool.record().status == "degraded"
    assert world.backend.alive == []
    world.wait(10.0)
    world.submit("a")
    world.life("a").answer("a")
    assert world.owner.answered("a")


def test_closing_while_siblings_are_shut_down_ends_all_of_them(make: Callable[..., World]) -> None:
    world = make(size=3, strategy="one_for_all")
    grown(world, 3)
    first, _, third = world.backend.alive
    third.obedient = False
    first.die(SEGFAULT)
    world.wait()
    done: list[bool] = []
    world.pool.close(lambda: done.append(True), grace=1.0)
    world.wait(8.0)
    assert done
    assert world.backend.alive == []


# ---------------------------------------------------------------- the end


def test_closing_stops_workers_with_a_frame_then_sigterm_then_sigkill(make: Callable[..., World]) -> None:
    world = make(size=2)
    world.submit("a")
    world.submit("b")
    world.submit("waits")
    good, bad = world.backend.lives
    bad.obedient = False
    done: list[float] = []
    begun = world.loop.time()
    world.pool.close(lambda: done.append(world.loop.time() - begun), grace=2.0)
    world.wait()
    assert not good.alive
    assert bad.alive
    world.wait(10.0)
    assert [number for _, number in bad.kills] == [15, 9]
    assert done == pytest.approx([3.0], abs=0.01)
    assert not world.owner.lost("a").charged
    assert not world.owner.lost("b").charged
    assert world.owner.refusal("waits") == "the orchestrator is closing"


def test_a_job_that_finishes_while_the_pool_closes_is_answered(make: Callable[..., World]) -> None:
    world = make()
    world.submit("a")
    life = world.life("a")
    life.obedient = False
    world.pool.close(lambda: None, grace=5.0)
    world.wait()
    life.answer("a")
    life.die(Exit(kind="exited", code=0))
    assert world.owner.answered("a")
