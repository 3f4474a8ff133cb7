"""Histories of runs made at random: steps that are retried, rejected, lost and withdrawn, waits, forks and retries of runs.

They hold what can happen to a run in the order in which it can, so that no part of the engine is needed to make them.
"""

import random
from collections.abc import Iterator
from itertools import count

from greenroom.messages.core.failures import Exit, Failure, Outcome
from greenroom.messages.events import events as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.options.policy import StepOptions
from greenroom.messages.records.evaluation import Evaluation

OUTCOMES: tuple[Outcome, ...] = ("ok", "ok", "ok", "error", "timeout", "invalid", "crash", "cancelled")
OF_STEPS = (
    ev.StepScheduled,
    ev.AttemptStarted,
    ev.AttemptEnded,
    ev.StepEvaluated,
    ev.StepCompleted,
    ev.StepFailed,
)
TOKENS = count(1)


class History:
    """One run. ``grow`` adds what happens next."""

    def __init__(self, chance: random.Random, run_id: str, origin: "History | None" = None) -> None:
        self.chance = chance
        self.run_id = run_id
        self.workflow: str = origin.workflow if origin else chance.choice("abc")
        self.at = 100.0
        self.numbers = count(1)
        self.open: list[str] = []
        """Steps without an outcome."""
        self.running: dict[str, tuple[str, int]] = {}
        """Token and number of the running attempts, by step."""
        self.tried: dict[str, int] = {}
        self.failed: list[str] = []
        self.completed: list[str] = []
        self.waits: list[str] = []
        self.over = ""
        self.events: list[AnyEvent] = []
        begun_at = None if origin is None else 1.0
        self.add(
            ev.RunStarted(
                at=self.tick(), run_id=run_id, app="app.py", workflow=self.workflow, arguments={}, begun_at=begun_at
            )
        )
        if origin is not None:
            self.copy(origin)

    def tick(self) -> float:
        self.at += self.chance.choice([-0.5, 0.0, 0.1, 0.1, 2.5])  # a clock may be set back
        return self.at

    def add(self, *events: AnyEvent) -> None:
        self.events.extend(events)

    def copy(self, origin: "History") -> None:
        """Begin as a fork does: with copies of another run's events, of which one step gets another result."""
        kept = [each for each in origin.events if isinstance(each, OF_STEPS)]
        kept = kept[: self.chance.randint(0, len(kept))]
        for each in kept:
            if isinstance(each, ev.StepScheduled):
                self.open.append(each.key)
            elif isinstance(each, (ev.StepCompleted, ev.StepFailed)) and each.key in self.open:
                self.open.remove(each.key)
                (self.completed if isinstance(each, ev.StepCompleted) else self.failed).append(each.key)
        self.tried = dict.fromkeys((each.key for each in kept), 0)
        self.numbers = count(len(origin.events) + 1)
        self.add(*kept)
        given = bool(self.open) and self.chance.random() < 0.5
        key = self.chance.choice(self.open) if given else "x#1"
        if given:
            self.open.remove(key)
        self.add(ev.RunForked(at=self.tick(), origin=origin.run_id, key=key, given=given))

    def grow(self) -> None:
        """Let one more thing happen."""
        if self.over:
            self.after_the_end()
            return
        actions = [self.schedule, self.schedule, self.program, self.wait, self.other, self.end, self.rate]
        if self.open:
            actions += [self.attempt] * 8
        if self.waits:
            actions += [self.wake] * 2
        self.chance.choice(actions)()

    def schedule(self) -> None:
        name = self.chance.choice(["fetch", "think", "judge"])
        key = f"{name}#{next(self.numbers)}"
        kind = "llm" if name == "think" else "tool"
        self.open.append(key)
        self.tried[key] = 0
        self.add(
            ev.StepScheduled(
                at=self.tick(), key=key, name=name, kind=kind, step=name, arguments=None, options=StepOptions()
            )
        )

    def program(self) -> None:
        exit_ = Exit(kind="signaled", signal="SIGKILL")
        started = ev.ProgramStarted(at=self.tick(), worker="p-1", pid=7, incarnation=1)
        ended = ev.ProgramEnded(at=self.tick(), exit=exit_, charged=False)
        self.add(self.chance.choice([started, started, ended]))

    def attempt(self) -> None:
        """Start an attempt, or end one, or give a step up."""
        key = self.chance.choice(self.open)
        if key not in self.running:
            token = f"1:{next(TOKENS)}"
            self.tried[key] += 1
            self.running[key] = token, self.tried[key]
            self.add(
                ev.AttemptStarted(
                    at=self.tick(), key=key, attempt=self.tried[key], token=token, worker="t-1", pid=7, incarnation=1
                )
            )
            return
        token, number = self.running.pop(key)
        outcome = self.chance.choice(OUTCOMES)
        exit_ = Exit(kind="signaled", signal="SIGKILL") if outcome in {"crash", "timeout"} else None
        failure = None if outcome == "ok" else Failure(outcome=outcome, exit=exit_)
        usage = {"usd": self.chance.random(), "input_tokens": 10.0} if key.startswith("think") else {}
        self.add(
            ev.AttemptEnded(
                at=self.tick(),
                key=key,
                attempt=number,
                token=token,
                outcome=outcome,
                failure=failure,
                charged=self.chance.random() < 0.8,
                usage=usage,
            )
        )
        if failure is not None:
            if self.chance.random() < 0.4:
                self.fail(key, failure)
            return
        if self.chance.random() < 0.3:
            verdict = self.chance.choice(["accept", "flag", "retry", "escalate"])
            self.add(ev.StepEvaluated(at=self.tick(), key=key, attempt=number, verdict=verdict, evaluations=()))
            if verdict == "escalate":
                ask = f"ask#{next(self.numbers)}"
                self.waits.append(ask)
                self.add(ev.ApprovalAsked(at=self.tick(), key=ask, action="use it", args=None, step=key))
            if verdict in {"retry", "escalate"}:
                return
        self.open.remove(key)
        self.completed.append(key)
        self.add(ev.StepCompleted(at=self.tick(), key=key, attempt=number, flagged=self.chance.random() < 0.1))

    def rate(self) -> None:
        """Give a step that has completed, or the run, a score in the background."""
        key = self.chance.choice(["", *self.completed])
        score = self.chance.choice([None, 0.0, 0.25, 0.5, 1.0])
        passed = score is not None and score >= 0.5
        name = self.chance.choice(["kind", "short"])
        usage = {"usd": self.chance.choice([0.25, 0.5])} if name == "kind" else {}
        said = Evaluation(name=name, score=score, passed=passed, threshold=0.5, usage=usage, background=True)
        self.add(ev.AnswerRated(at=self.tick(), sample=f"{key}@1", key=key, attempt=1, evaluations=(said,)))

    def fail(self, key: str, failure: Failure) -> None:
        self.open.remove(key)
        self.failed.append(key)
        self.add(ev.StepFailed(at=self.tick(), key=key, reason="exhausted", failure=failure))

    def wait(self) -> None:
        key = f"sleep#{next(self.numbers)}"
        self.waits.append(key)
        self.add(ev.TimerSet(at=self.tick(), key=key, due=self.at + 5))

    def wake(self) -> None:
        key = self.waits.pop()
        if not key.startswith("ask"):
            self.add(self.chance.choice([ev.TimerFired, ev.TimerCancelled])(at=self.tick(), key=key))

    def other(self) -> None:
        self.add(
            self.chance.choice(
                [
                    ev.StateChanged(at=self.tick(), state=1),
                    ev.RunPaused(at=self.tick()),
                    ev.RunParked(at=self.tick(), reason="why"),
                    ev.RunResumed(at=self.tick()),
                ]
            )
        )

    def end(self) -> None:
        self.over = self.chance.choice(["completed", "failed", "cancelled"])
        if self.over == "completed":
            self.add(ev.RunCompleted(at=self.tick(), result=None))
        elif self.over == "failed":
            self.add(ev.RunFailed(at=self.tick(), failure=Failure(outcome="error")))
        else:
            self.add(ev.RunCancelled(at=self.tick()))

    def after_the_end(self) -> None:
        """Nothing happens mostly. A run can be retried, and what it had left running still ends."""
        chance = self.chance.random()
        if chance < 0.3 and self.over != "completed":
            reopened = [key for key in self.failed if self.chance.random() < 0.7]
            forgotten = [key for key in self.open if self.chance.random() < 0.5]
            self.failed = [key for key in self.failed if key not in reopened]
            self.open = [key for key in self.open if key not in forgotten] + reopened
            self.running = {key: value for key, value in self.running.items() if key in self.open}
            self.waits = []
            self.over = ""
            self.add(ev.RunRetried(at=self.tick(), cut=1, forgotten=tuple(forgotten), reopened=tuple(reopened)))
        elif chance > 0.7:
            self.rate()
        elif chance < 0.5 and self.completed:
            key = self.chance.choice(self.completed)  # a late word about a step that had completed
            self.add(ev.StepEvaluated(at=self.tick(), key=key, attempt=1, verdict="fail", evaluations=()))


def interleaved(chance: random.Random, runs: int, length: int) -> Iterator[tuple[History, int, list[AnyEvent]]]:
    """Yield pieces of the histories of several runs, in the order in which they are written.

    Each piece is a run, the sequence number of its first event, and its events.
    """
    histories = [History(chance, f"r{number}") for number in range(runs)]
    written = dict.fromkeys((each.run_id for each in histories), 0)
    for _ in range(length):
        history = chance.choice(histories)
        if chance.random() < 0.02:
            history = History(chance, f"r{len(histories)}", origin=history)
            histories.append(history)
            written[history.run_id] = 0
        for _ in range(chance.randint(1, 4)):
            history.grow()
        if events := history.events[written[history.run_id] :]:
            yield history, written[history.run_id] + 1, events
            written[history.run_id] += len(events)
