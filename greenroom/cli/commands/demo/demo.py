"""``greenroom demo``: real faults on a real document, and a summary from the journal."""

import json
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from greenroom.cli.command_group import common, pass_settings
from greenroom.cli.display import values as show
from greenroom.cli.display.values import emit, look
from greenroom.cli.exit_codes import RUN_FAILED
from greenroom.cli.hosting.own_command import own_environment
from greenroom.cli.settings import Settings
from greenroom.messages.advice import show_run

if TYPE_CHECKING:
    from greenroom.messages.records.records import StepRecord
    from greenroom.workflows.home.home import Home

APP = "greenroom.cli.commands.demo.app"
DEADLINE = 60.0
"""Seconds after which the demo gives up."""
HARMLESS = {"ok", "rejected", "cancelled"}
"""Outcomes of attempts that do not count as faults."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Figures of a run: from the journal, and from the file in which the tools record their effects."""

    run_id: str
    seconds: float
    steps: int
    attempts: int
    faults: int
    recovered: int
    lost: int
    repeated: int
    score: float | None
    """Mean score of the accepted answers, 0 to 1."""

    def sentence(self) -> str:
        """Return the figures in one line."""
        return (
            f"{self.run_id} completed in {self.seconds:.1f} s: {self.steps} steps, {self.attempts} attempts, "
            f"{self.faults} {'fault' if self.faults == 1 else 'faults'} injected, {self.recovered} recovered, "
            f"{self.lost} steps lost, {self.repeated} effects repeated"
            + ("" if self.score is None else f", scored {self.score:.2f}")
        )


@click.command()
@click.option(
    "--kill-orchestrator", is_flag=True, help="Kill the orchestrator itself in the middle, and start it again."
)
@click.option("--seed", type=int, default=7, show_default=True, help="Decides which parts of the document are hit.")
@common
@pass_settings
def demo(settings: Settings, kill_orchestrator: bool, seed: int) -> int:  # noqa: FBT001  click hands flags over by name
    """Watch a workflow survive a killed worker, a hung tool and a broken answer. No key, no network, under 15 s."""
    from greenroom.workflows.home.home import Home

    stream = sys.stderr if settings.json else sys.stdout
    home = Home(settings.home.path / "demo")
    home.create()
    run_id = f"demo-{seed}-{secrets.token_hex(3)}"
    files = home.path / run_id
    arguments: dict[str, Any] = {
        "document": str(resources.files("greenroom.cli.commands.demo") / "document.txt"),
        "out": f"{files}.brief.txt",
        "effects": f"{files}.effects",
        "seed": seed,
        "faults": not kill_orchestrator,
    }

    say = partial(show.say, stream=stream)

    fault = _kill_orchestrator if kill_orchestrator else _kill_worker
    say(f"A brief of {Path(arguments['document']).name}, written by worker processes. Seed {seed}, home {home.path}.")
    started = time.monotonic()
    fault(home, run_id, arguments, say)
    outcome = _count(home, run_id, Path(arguments["effects"]), time.monotonic() - started)
    for line in Path(arguments["out"]).read_text(encoding="utf-8").splitlines():
        say(f"  {line}")
    say(f"Every attempt, read from the journal: {home.placed(show_run(run_id), anywhere=True)}")
    good = outcome.lost == outcome.repeated == 0 < outcome.faults == outcome.recovered
    say(("✔ " if good else "✖ ") + outcome.sentence())
    if settings.json:
        emit(asdict(outcome))
    return 0 if good else RUN_FAILED


def _kill_worker(home: "Home", run_id: str, arguments: dict[str, Any], say: Callable[[str], None]) -> None:
    """Run the workflow in this process and kill the slow worker. The app itself contains the other two faults."""
    from greenroom.cli.display.progress import Teller
    from greenroom.cli.hosting.log_file import log_to_home
    from greenroom.messages.events.events import AttemptStarted
    from greenroom.workflows.api.orchestrator import Orchestrator

    log_to_home(home)
    crawling = Path(arguments["effects"]).with_suffix(".crawling")
    with Orchestrator(home=home.path, output=False) as orchestrator:
        run = orchestrator.start_app(APP, "brief", arguments, id=run_id)
        teller = Teller()
        for stored in run.events(follow=True):
            event = stored.event
            line = teller.line(event)
            if line:
                say(line)
            if isinstance(event, AttemptStarted) and "crawls" in event.key and event.attempt == 1:
                _wait(crawling.exists, "the step that crawls has begun")
                orchestrator.kill(event.worker, signal.SIGKILL)
                say(f"           kill -9 {event.pid}: the worker that crawls through {event.key}")
        run.result(timeout=DEADLINE)


def _kill_orchestrator(home: "Home", run_id: str, arguments: dict[str, Any], say: Callable[[str], None]) -> None:
    """Have another process run the workflow, kill that one in the middle, and start it again."""
    command = [sys.executable, "-m", "greenroom", "--home", str(home.path), "run", f"{APP}:brief", "--id", run_id]
    command += ["--input", json.dumps(arguments)]
    with (home.path / f"{run_id}.log").open("a", encoding="utf-8") as log:

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(  # noqa: S603  our own command line
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, env=own_environment()
            )

        with start() as orchestrator:
            say(f"[1/4] orchestrator pid {orchestrator.pid} hosts {run_id}; waiting until a step is in its middle")
            try:
                _wait(lambda: _in_the_middle(home, run_id, arguments), "two steps are done and one is in flight")
                before = _look(home, run_id)
                pids = {attempt.pid for step in before for attempt in step.attempts}
            finally:
                orchestrator.kill()
            orchestrator.wait()
        done = sum(step.status == "completed" for step in before)
        say(f"[2/4] kill -9 {orchestrator.pid} ({done} steps done, {len(before) - done} not)")
        _wait(lambda: not any(_alive(pid) for pid in pids), "its workers are gone")
        say(f"      its {len(pids)} workers are gone too")
        with start() as orchestrator:
            say(f"[3/4] orchestrator pid {orchestrator.pid} goes on from the journal")
            code = orchestrator.wait(DEADLINE)
    if code:
        msg = f"the second orchestrator exited with {code}; see {home.path / run_id}.log"
        raise click.ClickException(msg)
    again = {step.key: len(step.attempts) for step in _look(home, run_id)}
    kept = sum(again[step.key] == len(step.attempts) for step in before if step.status == "completed")
    say(f"[4/4] run completed; of the {done} steps that were done before the kill, {done - kept} ran again")


def _in_the_middle(home: "Home", run_id: str, arguments: dict[str, Any]) -> bool:
    if not Path(arguments["effects"]).with_suffix(".crawling").exists():
        return False
    return sum(step.status == "completed" for step in _look(home, run_id)) > 1


def _look(home: "Home", run_id: str) -> "list[StepRecord]":

    with look(home) as reads:
        return reads.steps(run_id)


def _alive(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait(condition: Callable[[], bool], what: str) -> None:
    """Poll until another process has done something.

    Raises:
        TimeoutError: It was not done in time.
    """
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            msg = f"the demo waited in vain until {what}"
            raise TimeoutError(msg)
        time.sleep(0.01)


def _count(home: "Home", run_id: str, effects: Path, passed: float) -> Outcome:
    """Count steps and attempts from the journal, and repeated effects from the lines that the tools wrote."""
    steps = _look(home, run_id)
    faulty = [step for step in steps for attempt in step.attempts if attempt.outcome not in HARMLESS]
    scores = [one.score for step in steps for one in step.evaluations if one.score is not None]
    lines = Counter(effects.read_text(encoding="utf-8").splitlines())
    return Outcome(
        run_id=run_id,
        seconds=passed,
        steps=len(steps),
        attempts=sum(len(step.attempts) for step in steps),
        faults=len(faulty),
        recovered=sum(step.status == "completed" for step in faulty),
        lost=sum(step.status != "completed" for step in steps),
        repeated=sum(count - 1 for count in lines.values()),
        score=sum(scores) / len(scores) if scores else None,
    )
