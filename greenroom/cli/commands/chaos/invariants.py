"""What has to hold after a chaos run, read from the journal that it leaves."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from greenroom.cli.commands.chaos.workload import (
    Failing,
    Rehearsal,
    Target,
    busy_sessions,
    ending,
    failed_children,
    failed_messages,
    session_name,
)
from greenroom.messages.core.equality import same
from greenroom.messages.core.frozen import frozen
from greenroom.messages.records.attempts import AttemptRecord
from greenroom.messages.records.records import OVER
from greenroom.workflows.control.checks.export_replay import replay
from greenroom.workflows.control.checks.replay_check import ReplayChecker
from greenroom.workflows.queries.reader import JournalQueries
from greenroom.workflows.queries.reindex import state_faults
from greenroom.workflows.queries.run_export import export_of

REPLAYED: Final = 50
"""Most runs that are replayed; a replay executes the workflow's code once."""


@frozen
class Invariant:
    """Something that has to hold whatever was killed."""

    sentence: str
    broken: tuple[str, ...]
    """What contradicts it, in sentences; nothing if it holds."""


@frozen
class Aftermath:
    """What a chaos run has left, for the checks."""

    reads: JournalQueries
    accepted: Mapping[str, Target]
    """The runs whose start was acknowledged."""
    rehearsals: Mapping[Target, Rehearsal]
    """How workflows end without faults."""
    failing: Failing
    processes: tuple[str, ...]
    """Sentences about processes that are still there."""


Check: TypeAlias = Callable[[Aftermath], Iterator[str]]


def invariants(aftermath: Aftermath) -> Iterator[Invariant]:
    """Yield all that has to hold, with what contradicts it. The journal's orchestrator has ended."""
    for sentence, check in _ALL.items():
        yield Invariant(sentence, tuple(check(aftermath)))


def _missing_runs(aftermath: Aftermath) -> Iterator[str]:
    for run_id in aftermath.accepted:
        if aftermath.reads.journal.run(run_id) is None:
            yield f"run {run_id} was accepted, and is not in the journal"


def _other_endings(aftermath: Aftermath) -> Iterator[str]:
    """Yield how runs, their children and the sessions that they tell end otherwise than they do without faults."""
    for row in aftermath.reads.journal.runs(kind="run", limit=None):
        if row.id not in aftermath.accepted and row.status not in OVER:
            yield f"run {row.id} is {row.status}"
        elif row.id in aftermath.accepted and row.status != "completed":
            yield f"run {row.id} {ending(aftermath.reads.run(row.id))}"
    for row in failed_children(aftermath.reads):
        if row.workflow not in aftermath.failing.workflows:
            yield f"run {row.id} {ending(aftermath.reads.run(row.id))}"
    for letter in failed_messages(aftermath.reads):
        if session_name(letter.run_id) not in aftermath.failing.sessions:
            yield f"message {letter.letter} to session {letter.run_id} failed: {letter.failure.sentence()}"
    for session in busy_sessions(aftermath.reads):
        yield f"session {session} has not answered all messages"
    for row in aftermath.reads.journal.runs(kind="session", status=["parked"], limit=None):
        yield f"session {row.id} is parked: {row.reason}"


def _other_results(aftermath: Aftermath) -> Iterator[str]:
    for run_id, target in aftermath.accepted.items():
        row, rehearsal = aftermath.reads.journal.run(run_id), aftermath.rehearsals[target]
        if row is None or row.status != "completed":
            continue
        if rehearsal.same_state and not same(aftermath.reads.state(run_id), rehearsal.state):
            yield f"run {run_id} leaves another state than {target.title} leaves without faults"
        if rehearsal.deterministic and not same(aftermath.reads.result(run_id), rehearsal.result):
            yield f"run {run_id} has another result than {target.title} has without faults"


def _damaged_lines(aftermath: Aftermath) -> Iterator[str]:
    for fault in aftermath.reads.journal.faults():
        yield fault.sentence


def _other_states(aftermath: Aftermath) -> Iterator[str]:
    for fault in state_faults(aftermath.reads.journal):
        yield fault.sentence


def _miscounted_attempts(aftermath: Aftermath) -> Iterator[str]:
    for row in aftermath.reads.journal.runs(kind="run", status=list(OVER), limit=None):
        for step in aftermath.reads.steps(row.id):
            for what in miscounted(step.attempts):
                yield f"step {step.key} of run {row.id}: {what}"


def miscounted(attempts: tuple[AttemptRecord, ...]) -> Iterator[str]:
    """Yield what is wrong with the attempts of a step whose run is over."""
    numbers = [attempt.number for attempt in attempts]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"its attempts are numbered {numbers}"
    for attempt in attempts:
        if attempt.outcome is None:
            yield f"attempt {attempt.number} has no outcome"
    succeeded = [attempt.number for attempt in attempts if attempt.outcome == "ok"]
    if len(succeeded) > 1:
        yield f"attempts {succeeded} have succeeded, and one is enough"


def _replay_differences(aftermath: Aftermath) -> Iterator[str]:
    run_ids = list(aftermath.accepted)
    with ReplayChecker() as checker:
        for run_id in run_ids[:: len(run_ids) // REPLAYED + 1]:
            if aftermath.reads.journal.run(run_id) is None:
                continue
            difference = replay(export_of(aftermath.reads.journal, run_id), aftermath.accepted[run_id].app, checker)
            if difference:
                yield f"run {run_id}: {difference}"


def _leftover_processes(aftermath: Aftermath) -> Iterator[str]:
    yield from aftermath.processes


_ALL: Final[dict[str, Check]] = {
    "every run that was accepted is in the journal": _missing_runs,
    "every run ends as it does without faults": _other_endings,
    "every result and every state is the one that there is without faults": _other_results,
    "the journal is whole": _damaged_lines,
    "the state of every run is what its events lead to": _other_states,
    "every attempt is counted once and has an outcome, and at most one per step succeeds": _miscounted_attempts,
    "the code, run again, asks for what the runs asked for": _replay_differences,
    "no process is left": _leftover_processes,
}
