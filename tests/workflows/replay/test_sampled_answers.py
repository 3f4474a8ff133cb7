"""Answers that are rated in the background change nothing of a run, whatever dies, is retried or forked meanwhile."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from greenroom.messages.codecs.event_codec import decode_event
from greenroom.messages.commands import ForkRun
from greenroom.messages.events import events as ev
from greenroom.messages.options.policy import SampledEvaluator, Sampling
from greenroom.messages.records.evaluation import is_sampled
from greenroom.workflows.decisions.replay.fork_events import forked
from tests.workflows.decisions.test_turns import Add, adder
from tests.workflows.replay.test_replay import branches
from tests.workflows.replay.test_replay import expected as branched
from tests.workflows.replay.test_run_retry_point import Word, careful, check_journal, expected
from tests.workflows.world import World

SHARE = 0.5
SOME = Sampling(evaluators=(SampledEvaluator(ref="app:kind", share=SHARE),))


def events_of(world: World, after: int = 0) -> list[ev.AnyEvent]:
    return [decode_event(body) for body in world.journal[after:]]


def check_scores(world: World, after: int = 0) -> int:
    """Every sampled answer has one score in the end, and no other has any; give the number of scores."""
    world.rate_rest()
    world.check_state()
    events = events_of(world, after)
    sampled = Counter(each.sample for each in events if isinstance(each, ev.AnswerSampled))
    rated = Counter(each.sample for each in events if isinstance(each, ev.AnswerRated))
    assert sampled == rated
    assert set(sampled.values()) <= {1}
    assert world.state.sampled == {}
    return rated.total()


def check_sample(world: World, run_id: str) -> None:
    """What is sampled follows from the run and the keys of its steps."""
    events = events_of(world)
    for event, following in pairwise(events):
        if isinstance(event, ev.StepCompleted):
            chosen = isinstance(following, ev.AnswerSampled) and following.key == event.key
            assert chosen == is_sampled(f"{run_id}/{event.key}", SHARE), event.key


@pytest.mark.parametrize("block", range(2))
def test_a_run_comes_to_the_same_end_and_every_sampled_answer_gets_one_score(block: int) -> None:
    deaths = scores = 0
    for seed in range(block * 25, block * 25 + 25):
        width, depth = 2 + seed % 5, 2 + seed % 4
        world = World(branches.definition, seed, sampling=SOME, width=width, depth=depth)
        state = world.run()
        assert state.status == "completed", (seed, state.reason)
        assert state.result == branched(width, depth), seed
        scores += check_scores(world)
        assert world.state.status == "completed"
        assert world.state.result == branched(width, depth)
        check_sample(world, "r")
        deaths += world.deaths
    assert deaths > 20
    assert scores > 100


@pytest.mark.parametrize("block", range(2))
def test_a_run_is_retried_as_if_nothing_of_it_were_rated(block: int) -> None:
    retries = scores = 0
    for seed in range(block * 15, block * 15 + 15):
        width, depth = 1 + seed % 5, 1 + seed % 4
        words = [Word(n=n) for n in (1, 2, 3)]
        world = World(
            careful.definition,
            seed,
            crashes=0.05,
            messages=words,
            retries=True,
            cancels=0.01,
            sampling=SOME,
            width=width,
            depth=depth,
        )
        state = world.run()
        assert state.status == "completed", (seed, state.reason)
        assert state.result == expected(width, depth), seed
        scores += check_scores(world)
        check_journal(world)
        retries += sum(b"run.retried" in body for body in world.journal)
    assert retries > 10
    assert scores > 50


def test_a_fork_shares_scores_and_has_rated_what_is_its_own() -> None:
    shared = own = 0
    for seed in range(30):
        width, depth = 2 + seed % 4, 2 + seed % 3
        words = [Word(n=n) for n in (1, 2, 3)]
        origin = World(
            careful.definition,
            seed,
            crashes=0.03,
            failures=0.0,
            messages=words,
            sampling=SOME,
            width=width,
            depth=depth,
        )
        origin.run()
        if seed % 2:
            origin.rate_rest()
        key = random.Random(seed).choice([*origin.state.steps])
        past = events_of(origin)
        events = forked(past, ForkRun(run_id="r", at=key), "f", origin.now, "seed")
        assert not [each for each in events if isinstance(each, ev.AnswerSampled)]
        shared += sum(isinstance(each, ev.AnswerRated) for each in events)
        fork = World(
            careful.definition,
            seed,
            crashes=0.03,
            failures=0.0,
            messages=words,
            past=events,
            sampling=SOME,
            width=width,
            depth=depth,
        )
        state = fork.run()
        assert state.result == expected(width, depth), seed
        own += check_scores(fork, len(events))
    assert shared > 20
    assert own > 20


def test_a_session_is_read_from_its_newest_events_while_earlier_answers_are_not_rated() -> None:
    wakes = scores = 0
    for seed in range(40):
        sent = [Add(n=n) for n in range(1, 9)]
        world = World(adder.definition, seed, crashes=0.03, messages=sent, sampling=SOME)
        world.run()
        scores += check_scores(world)
        wakes += world.wakes
        turns = {each.number for each in events_of(world) if isinstance(each, ev.TurnEnded)}
        replies = {each.turn for each in events_of(world) if isinstance(each, ev.AnswerSampled) and not each.key}
        assert replies == {number for number in turns if is_sampled(f"s/r/{number}", SHARE)}
    assert wakes > 10
    assert scores > 50
