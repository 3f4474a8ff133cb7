"""Values that steps emit: those of a lost attempt are marked, and each final text is in its stream once."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest
from pydantic import BaseModel

from greenroom import LLM, DefinitionError, StepFailed, emit, session, sleep, tool, workflow
from greenroom.actors.program import emit_backpressure
from greenroom.journal.interface import Stored
from greenroom.messages.codecs.event_codec import decode_event
from greenroom.messages.commands import ForkRun
from greenroom.messages.core.failures import Exit, Failure
from greenroom.messages.core.json_text import plain
from greenroom.messages.events import events as ev
from greenroom.messages.frames.worker import Completed, Failed, Return, ScheduleStep, Withdraw
from greenroom.messages.options.policy import Retry, StepOptions
from greenroom.messages.records.evaluation import Evaluation
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.replay.fork_events import forked
from greenroom.workflows.queries.records.run_records import stream_items
from tests.workflows.decisions.test_decide import Case, types
from tests.workflows.world import World

Event = ev.ValueEmitted | ev.StepEmitted | ev.ValuesDiscarded

draft = LLM("draft", model="mock", stream="text")


@tool
def double(n: int) -> int:
    return n * 2


@tool
def flaky(n: int) -> int:
    return n * 2


def check_streams(  # noqa: C901, PLR0912  one case per event
    events: Iterable[ev.AnyEvent],
) -> tuple[int, int]:
    """Assert what streams promise about steps. Give the number of discard marks, and that of final texts."""
    offsets: defaultdict[str, int] = defaultdict(int)
    streams: dict[str, str | None] = {}
    running: dict[str, int] = {}
    partial: dict[str, set[str]] = {}
    finals: defaultdict[str, int] = defaultdict(int)
    discards = 0
    for event in events:
        match event:
            case ev.StepScheduled(key=key, options=options):
                streams[key] = options.stream
            case ev.AttemptStarted(key=key, attempt=attempt):
                assert not partial.get(key), f"{key} begins again, and what it had emitted was not discarded"
                running[key] = attempt
            case ev.AttemptEnded(key=key):
                del running[key]
            case ev.ValueEmitted(channel=channel, offset=offset):
                assert offset == offsets[channel]
                offsets[channel] += 1
            case ev.StepEmitted(key=key, channel=channel, offset=offset, final=final):
                assert offset == offsets[channel]
                offsets[channel] += 1
                if final:
                    finals[key] += 1
                else:
                    assert running[key] == event.attempt, "it is emitted between the start and the end of its attempt"
                    partial.setdefault(key, set()).add(channel)
            case ev.ValuesDiscarded(key=key):
                assert partial.pop(key) == set(event.offsets)
                for channel, offset in event.offsets.items():
                    assert offset == offsets[channel]
                    offsets[channel] += 1
                discards += 1
            case ev.StepCompleted(key=key):
                partial.pop(key, None)
                assert finals[key] == (streams[key] is not None)
            case ev.StepFailed(key=key):
                assert key not in partial, f"{key} has failed, and what it emitted counts"
                assert finals[key] == 0
            case _:
                pass
    assert not any(partial.values()), "the run has ended and what is not accepted is not discarded"
    return discards, sum(finals.values())


def events_of(world: World) -> list[ev.AnyEvent]:
    return [decode_event(body) for body in world.journal]


@workflow
async def drafting(width: int) -> int:
    """Steps beside each other that stream: some fail, and some are given up."""

    async def branch(n: int) -> None:
        await emit(n, "other")
        await draft(f"prompt {n}")
        try:
            async with asyncio.timeout(0.7):
                await asyncio.gather(flaky(n), double(n), sleep(n % 2))
        except (TimeoutError, StepFailed):
            pass
        await draft.options(retry=Retry(attempts=2), name="again")(f"prompt {n}")

    async with asyncio.TaskGroup() as group:
        for n in range(width):
            group.create_task(branch(n))
    return width


@pytest.mark.parametrize("block", range(4))
def test_partial_text_of_lost_attempts_is_marked_and_final_text_comes_once_under_random_crashes(block: int) -> None:
    deaths = discards = finals = confirmed = 0
    for seed in range(block * 25, block * 25 + 25):
        world = World(drafting.definition, seed, crashes=0.08, emits=0.5, cancels=0.002, width=1 + seed % 3)
        state = world.run()
        assert state.status in {"completed", "cancelled"}, (seed, state.reason)
        found = check_streams(events_of(world))
        deaths, confirmed = deaths + world.deaths, confirmed + world.confirmed
        discards, finals = discards + found[0], finals + found[1]
    assert deaths > 100
    assert discards > 20
    assert finals > 25
    assert confirmed > 20


def test_what_a_retry_forgets_is_not_discarded_and_what_goes_on_is() -> None:
    for seed in range(30):
        world = World(drafting.definition, seed, crashes=0.05, emits=0.5, retries=True, cancels=0.01, width=2)
        assert world.run().status == "completed", seed
        offsets: defaultdict[str, int] = defaultdict(int)
        for event in events_of(world):
            if isinstance(event, ev.ValuesDiscarded):
                marks = event.offsets.items()
            elif isinstance(event, (ev.ValueEmitted, ev.StepEmitted)):
                marks = {event.channel: event.offset}.items()
            else:
                continue
            for channel, offset in marks:
                assert offset == offsets[channel], seed
                offsets[channel] += 1


# ---------------------------------------------------------------- sessions


class Seen(BaseModel):
    seen: list[int] = []


class Ask(BaseModel):
    n: int


@session(state=Seen, on_failure="stop")
async def patient(state: Seen, message: Ask) -> int:
    """Stream, take its time, and clean up whatever happens; every third message swallows its cancellation."""
    state.seen.append(message.n)
    try:
        await emit(message.n, "now", now=True)
        await emit(message.n, "held")
        await patient.tell("other", Ask(n=message.n))
        await draft(f"prompt {message.n}")
        await sleep(1)
        await emit(-message.n, "now", now=True)
        await double(message.n)
    except asyncio.CancelledError:
        if message.n % 3:
            raise
    finally:
        await double(-message.n)
    return message.n


def check_turns(events: list[ev.AnyEvent], seen: Any, seed: object) -> list[int]:
    """Assert what cancelled turns leave of ``patient``, asked 1 to 7. Give the numbers of those turns."""
    over = [event for event in events if isinstance(event, (ev.TurnEnded, ev.TurnFailed))]
    assert [event.number for event in over] == list(range(1, 8)), seed
    asked = [event.number for event in events if isinstance(event, ev.TurnCancelRequested)]
    failed = [event.number for event in over if isinstance(event, ev.TurnFailed)]
    assert failed == asked, seed
    assert all(event.cancelled for event in over if isinstance(event, ev.TurnFailed))
    good = [n for n in range(1, 8) if n not in failed]
    assert (plain(seen) or {"seen": []})["seen"] == good, seed
    told: defaultdict[str, list[Any]] = defaultdict(list)
    for event in events:
        if isinstance(event, ev.ValueEmitted):
            told[event.channel].append(plain(event.value))
    assert told["held"] == good, seed
    assert [value for value in told["now"] if value > 0] == list(range(1, 8)), seed
    assert len(told["now"]) == len(set(told["now"])), seed
    assert {-n for n in good} <= set(told["now"]), seed
    assert [plain(event.value)["n"] for event in events if isinstance(event, ev.MessageSent)] == good, seed
    calls = {each.key: plain(each.arguments)["args"][0] for each in events if isinstance(each, ev.StepScheduled)}
    done = {calls[each.key] for each in events if isinstance(each, ev.StepCompleted)}
    for n in range(1, 8):  # a cancellation may come while the handler cleans up already, and ends that
        assert -n in calls.values() or (n in done and n in failed), f"{seed}: the handler of {n} did not clean up"
    return asked


@pytest.mark.parametrize("block", range(4))
def test_a_cancelled_turn_leaves_nothing_but_its_cleanup_under_random_crashes(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths = cancels = discards = swallowed = 0
    for seed in range(block * 20, block * 20 + 20):
        monkeypatch.setattr(emit_backpressure, "MOST_VALUES", 1 + seed % 3)
        sent = [Ask(n=n) for n in range(1, 8)]
        world = World(
            patient.definition, seed, crashes=0.03, messages=sent, emits=0.3, turn_cancels=0.03, passivations=0.05
        )
        state = world.run()
        assert state.halted is None, (seed, state.reason)
        events = events_of(world)
        asked = check_turns(events, state.shared, seed)
        discards += check_streams(events)[0]
        deaths += world.deaths
        cancels += len(asked)
        swallowed += sum(number % 3 == 0 for number in asked)
    assert deaths > 20
    assert cancels > 20
    assert discards > 2
    assert swallowed > 3


# ---------------------------------------------------------------- every place to die


def run_noting(world: World) -> list[int]:
    """Run a world to its end. Give the lengths of its journal after each append, between which nothing can die."""
    lengths: list[int] = []
    record = world._record

    def note(events: list[ev.AnyEvent]) -> None:
        record(events)
        if events:
            lengths.append(len(world.journal))

    world._record = note  # type: ignore[method-assign]
    world.run()
    return lengths[:-1]


def test_a_run_that_dies_at_any_event_has_each_final_text_once_and_no_partial_text_unmarked() -> None:
    for seed in range(4):
        whole = World(drafting.definition, seed, crashes=0.0, emits=0.5, width=2)
        lengths = run_noting(whole)
        assert check_streams(events_of(whole))[1] == 4
        for many in lengths:
            past = [decode_event(body) for body in whole.journal[:many]]
            world = World(drafting.definition, seed, crashes=0.0, emits=0.3, past=past, width=2)
            assert world.run().status == "completed", (seed, many)
            assert check_streams(events_of(world))[1] == 4, (seed, many)


def test_a_fork_shares_the_values_of_the_steps_that_it_shares_and_has_each_final_text_once() -> None:
    for seed in range(6):
        origin = World(drafting.definition, seed, crashes=0.1, emits=0.5, width=2)
        origin.run()
        events = events_of(origin)
        for key in origin.state.steps:
            past = forked(events, ForkRun(run_id="r", at=key, id="f"), "f", origin.now, "other")
            fork = World(drafting.definition, seed, crashes=0.0, emits=0.5, past=past, width=2)
            assert fork.run().status == "completed", (seed, key)
            assert check_streams(events_of(fork))[1] == 4, (seed, key)


def test_a_session_that_dies_at_any_event_keeps_what_was_cancelled_cancelled() -> None:
    sent = [Ask(n=n) for n in range(1, 8)]
    cancelled = 0
    for seed in range(4):
        whole = World(patient.definition, seed, crashes=0.0, messages=sent, emits=0.3, turn_cancels=0.1)
        lengths = run_noting(whole)
        cancelled += len(check_turns(events_of(whole), whole.state.shared, seed))
        for many in lengths[::2]:
            past = [decode_event(body) for body in whole.journal[:many]]
            world = World(patient.definition, seed, crashes=0.0, messages=sent, emits=0.3, past=past)
            state = world.run()
            known = [event.number for event in past if isinstance(event, ev.TurnCancelRequested)]
            assert check_turns(events_of(world), state.shared, (seed, many)) == known
            check_streams(events_of(world))
    assert cancelled > 4


# ---------------------------------------------------------------- decisions


STREAMING = ScheduleStep(
    key="a#1",
    name="a",
    kind="llm",
    step="m:a",
    arguments={},
    options=StepOptions(stream="text", retry=Retry(attempts=2, initial=0.0, jitter=0.0)),
)


def running(**options: Any) -> Case:
    """Give a run whose step has begun its first attempt."""
    case = Case()
    case.turn(STREAMING.model_copy(update={"options": STREAMING.options.model_copy(update=options)}))
    case.happen(inputs.StepAssigned("a#1", 1, "t", "w", 1, 1))
    return case


def says(*texts: str, token: str = "t", confirm: bool = False) -> inputs.StepEmitted:
    return inputs.StepEmitted("a#1", 1, token, tuple(("text", text) for text in texts), confirm)


def completed(result: Any) -> inputs.StepAnswered:
    return inputs.StepAnswered("a#1", 1, "t", Completed(token="t", result=result, duration=0.1))


def test_the_final_text_is_recorded_with_the_completion_of_its_step() -> None:
    case = running()
    assert types(case.happen(says("so", "me"))) == ["step.emitted"] * 2
    decision = case.happen(completed("some"))
    assert types(decision) == ["attempt.ended", "step.emitted", "step.completed"]
    final = decision.events[1]
    assert isinstance(final, ev.StepEmitted)
    assert (final.final, final.value, final.offset, final.attempt) == (True, "some", 2, 1)


def test_a_failed_attempt_that_had_emitted_is_followed_by_a_mark() -> None:
    case = running()
    case.happen(says("so"))
    failed = Failed(token="t", failure=Failure(outcome="error", type="x", message="no"), duration=0.1)
    decision = case.happen(inputs.StepAnswered("a#1", 1, "t", failed))
    assert types(decision)[:2] == ["attempt.ended", "values.discarded"]
    (mark,) = [event for event in decision.events if isinstance(event, ev.ValuesDiscarded)]
    assert (mark.attempt, mark.offsets) == (1, {"text": 1})
    assert case.state.offsets == {"text": 2}


def test_an_attempt_that_had_emitted_nothing_is_followed_by_no_mark() -> None:
    case = running()
    decision = case.happen(inputs.StepLost("a#1", 1, "t", Exit(kind="signaled", signal="SIGKILL"), charged=True))
    assert types(decision)[0] == "attempt.ended"
    assert "values.discarded" not in types(decision)


def test_a_rejected_result_is_discarded_and_an_accepted_one_is_final() -> None:
    case = running(accept=("m:judge",))
    case.happen(says("so"))
    assert types(case.happen(completed("so"))) == ["attempt.ended"]
    low = Evaluation(name="judge", score=0.1, passed=False, threshold=0.7, reason="dull")
    decision = case.happen(inputs.StepJudged("a#1", 1, (low,)))
    assert types(decision) == ["step.evaluated", "values.discarded", "retry.scheduled"]
    case = running(accept=("m:judge",))
    case.happen(completed("so"))
    high = low.model_copy(update={"score": 1.0, "passed": True})
    decision = case.happen(inputs.StepJudged("a#1", 1, (high,)))
    assert types(decision) == ["step.evaluated", "step.emitted", "step.completed"]


def test_a_person_who_edits_a_result_gives_the_final_text_and_one_who_rejects_it_gives_none() -> None:
    for choice, expected in (("edit", ["approval.decided", "step.emitted", "step.completed"]),
                             ("reject", ["approval.decided", "values.discarded", "step.failed"])):  # fmt: skip
        case = running(accept=("m:judge",), on_reject="escalate")
        case.happen(says("so"))
        case.happen(completed("so"))
        low = Evaluation(name="judge", score=0.1, passed=False, threshold=0.7, reason="dull")
        case.happen(inputs.StepJudged("a#1", 1, (low,)))
        args = "better" if choice == "edit" else None
        decision = case.happen(inputs.Decide("a#1@1", choice, args, by="ada"))  # type: ignore[arg-type]
        assert types(decision) == expected
        finals = [plain(event.value) for event in decision.events if isinstance(event, ev.StepEmitted)]
        assert finals == (["better"] if choice == "edit" else [])


def test_an_evaluator_may_emit_while_it_judges_and_not_later() -> None:
    case = running(accept=("m:judge",))
    assert case.happen(says("I think", token="")).events == []
    case.happen(completed("so"))
    assert types(case.happen(says("I think", token=""))) == ["step.emitted"]
    high = Evaluation(name="judge", score=1.0, passed=True, threshold=0.7)
    case.happen(inputs.StepJudged("a#1", 1, (high,)))
    assert case.happen(says("I thought", token="")).events == []


def test_a_step_that_is_withdrawn_and_one_that_is_lost_with_the_orchestrator_are_discarded() -> None:
    case = running()
    case.happen(says("so"))
    assert types(case.turn(Withdraw(key="a#1"))) == ["attempt.ended", "values.discarded", "step.failed"]
    case = running()
    case.happen(says("so"))
    assert types(case.happen(inputs.Recover(orphaned=True)))[:2] == ["attempt.ended", "values.discarded"]
    case = running()
    case.happen(says("so"))
    decision = case.turn(Return(result=1))
    assert types(decision) == ["attempt.ended", "values.discarded", "step.failed", "run.completed"]


def test_values_of_a_superseded_attempt_are_dropped_and_their_sender_goes_on() -> None:
    case = running()
    decision = case.happen(says("so", token="older", confirm=True))
    assert decision.events == []
    assert decision.then == [do.ConfirmEmitted("a#1")]


def test_items_say_what_they_are() -> None:
    case = running()
    events = case.happen(says("so")).events
    events += case.happen(inputs.StepLost("a#1", 1, "t", Exit(kind="signaled", signal="SIGKILL"), charged=False)).events
    case.happen(inputs.Tick())
    case.happen(inputs.StepAssigned("a#1", 2, "u", "w", 1, 1))
    events += case.happen(inputs.StepEmitted("a#1", 2, "u", (("text", "so"), ("log", 1)))).events
    events += case.happen(inputs.StepAnswered("a#1", 2, "u", Completed(token="u", result="some", duration=0.1))).events
    stored = [Stored(seq, event) for seq, event in enumerate(events, 1)]
    items = [(item.offset, item.kind, item.value, item.step, item.attempt) for item in stream_items(stored, "text", 0)]
    assert items == [
        (1, "discarded", None, "a#1", 1),
        (2, "partial", "so", "a#1", 2),
        (3, "final", "some", "a#1", 2),
    ]
    assert [item.kind for item in stream_items(stored, "log", None)] == ["partial"]


def test_a_model_has_a_stream_with_the_name_of_a_channel_or_none() -> None:
    assert draft.definition.options.stream == "text"
    assert LLM("plain", model="mock", stream=None).definition.options.stream is None
    for wrong in ("", "x" * 201, 7):
        with pytest.raises(DefinitionError, match="the stream of LLM `wrong` cannot be"):
            LLM("wrong", model="mock", stream=wrong)  # type: ignore[call-overload]
