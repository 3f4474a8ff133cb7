"""Sums that are kept up to date, saved and read back give the figures of one fold of all events."""

import random
from collections import defaultdict
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from greenroom.messages.events.events import AnyEvent
from greenroom.metrics.durations import Durations
from greenroom.metrics.figure_records import Metrics
from greenroom.metrics.figures import figures, figures_of
from greenroom.metrics.ledger import Ledger
from greenroom.metrics.percentiles import spread
from greenroom.metrics.sums import Sums
from tests.metrics.at_once import figures_at_once
from tests.metrics.histories import History, interleaved
from tests.metrics.test_figures import Recorded


class Written:
    """What a journal would hold: the events of each run, and what ledgers have saved."""

    def __init__(self) -> None:
        self.histories: dict[str, History] = {}
        self.runs: dict[str, list[AnyEvent]] = defaultdict(list)
        self.parts: list[tuple[str, bytes]] = []
        self.states: dict[str, str] = {}
        self.refolded = 0

    def state(self, run_id: str) -> str | None:
        return self.states.get(run_id)

    def events(self, run_id: str, before: int) -> Iterator[AnyEvent]:
        self.refolded += 1
        return iter(self.runs[run_id][: before - 1])

    def save(self, ledger: Ledger) -> None:
        text, durations, states = ledger.take()
        self.parts.append((text, durations))
        for run_id, state in states.items():
            if state is None:
                self.states.pop(run_id, None)
            else:
                self.states[run_id] = state

    def figures(self) -> Metrics:
        sums = Sums()
        for part in self.parts:
            sums.add(*part)
        return figures_of(sums)

    def at_once(self) -> Metrics:
        runs = [(self.histories[run_id].workflow, map(Recorded, events)) for run_id, events in self.runs.items()]
        return figures_at_once(runs)


def rounded(metrics: Metrics) -> Metrics:
    """Round sums of fractions: their last digit depends on the order of additions in the fold that is compared with."""
    workflows = tuple(
        flow.model_copy(
            update={
                "steps": tuple(
                    step.model_copy(update={"usage": {name: round(value, 9) for name, value in step.usage.items()}})
                    for step in flow.steps
                )
            }
        )
        for flow in metrics.workflows
    )
    return metrics.model_copy(update={"workflows": workflows})


@given(st.integers(0, 2**32), st.floats(0, 0.5), st.sampled_from([0.0, 0.1, 0.5]))
def test_sums_saved_in_parts_give_the_figures_of_one_fold(seed, saves, losses):
    chance = random.Random(seed)
    written = Written()
    ledger = Ledger(written)
    for history, seq, events in interleaved(chance, runs=6, length=150):
        written.histories[history.run_id] = history
        written.runs[history.run_id] += events
        ledger.add(history.run_id, seq, events)
        if chance.random() < saves:
            written.save(ledger)
            if chance.random() < losses:  # the next process continues
                ledger = Ledger(written)
            if chance.random() < losses and len(written.parts) > 1:
                written.parts = [Ledger.join(written.parts)]
    written.save(ledger)
    expected = rounded(written.at_once())
    assert rounded(written.figures()) == expected
    assert (
        rounded(
            figures((written.histories[each].workflow, map(Recorded, events)) for each, events in written.runs.items())
        )
        == expected
    )
    assert written.figures() == figures(
        (written.histories[each].workflow, map(Recorded, events)) for each, events in written.runs.items()
    ), "the order of additions must not matter"


def test_a_run_whose_state_is_lost_is_folded_again():
    chance = random.Random(7)
    written = Written()
    for history, seq, events in interleaved(chance, runs=4, length=120):
        ledger = Ledger(written)
        written.histories[history.run_id] = history
        ledger.add(history.run_id, seq, events)
        written.runs[history.run_id] += events
        written.save(ledger)
        written.states.clear()
    assert rounded(written.figures()) == rounded(written.at_once())
    assert written.refolded > 50


def test_a_run_that_goes_on_for_long_needs_little_to_be_continued():
    chance = random.Random(3)
    history = History(chance, "r")
    while len(history.events) < 20_000:
        history.over = ""
        chance.choice([history.schedule, history.attempt] if history.open else [history.schedule])()
        if len(history.open) > 3:
            while history.open:
                history.attempt()
    written = Written()
    ledger = Ledger(written)
    ledger.add("r", 1, [event for event in history.events if event.type != "step.failed"])
    written.save(ledger)
    assert len(written.states["r"]) < 20_000 * 10


@given(
    st.lists(st.lists(st.floats(0, 100) | st.sampled_from([1.0, 2.0]), max_size=40), max_size=8),
    st.lists(st.integers(0, 10**6), max_size=30),
)
def test_percentiles_of_parts_are_those_of_all_durations(parts, removals):
    durations, everything = Durations(), []
    for number, part in enumerate(parts):
        everything += part
        if number % 3:
            durations.add(sorted(part), ())
        else:
            durations.new += part
    for number, place in enumerate(removals):
        if everything:
            gone = everything.pop(place % len(everything))
            if number % 2:
                durations.add((), [gone])
            else:
                durations.taken_back.append(gone)
    assert durations.spread() == spread(everything)
