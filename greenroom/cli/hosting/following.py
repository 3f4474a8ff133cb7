"""Having a run done and following it to its result: by the orchestrator that lives on the home, or by being it."""

import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from greenroom.cli.command_group import NOTHING_SAID, Imports
from greenroom.cli.display.values import emit, look, note, say
from greenroom.cli.exit_codes import INTERRUPTED, TIMEOUT, WAITING
from greenroom.cli.settings import Settings
from greenroom.messages.advice import approve, go_on, reject
from greenroom.messages.core.errors import (
    GreenroomError,
    HomeInUse,
    IdConflict,
    OrchestratorClosed,
    OrchestratorUnreachable,
    RunEnded,
    RunNotFound,
)

if TYPE_CHECKING:
    from greenroom.journal.interface import Stored
    from greenroom.messages.commands import Command
    from greenroom.messages.events.events import RunStarted
    from greenroom.messages.policy import Budget
    from greenroom.workflows.api.handles.run import Run
    from greenroom.workflows.api.orchestrator import Orchestrator
    from greenroom.workflows.home.home import Home
    from greenroom.workflows.output.live_view import OutputOption
    from greenroom.workflows.queries.reader import JournalQueries

T = TypeVar("T")
U = TypeVar("U")

POLL: Final = 0.1
"""Seconds between two looks at the journal of an orchestrator in another process, which announces nothing."""
SETTLING: Final = 30.0
"""Seconds that an orchestrator may take from owning a home until it takes commands, or until it has ended."""
ENDING: Final = 5.0
"""Seconds for which a follower looks whether an orchestrator that takes no commands any more still records the end of
the run, or another one comes up."""
MAPPED_BYTES: Final = 1024 * 1024
"""Size from which a block of memory goes back to the kernel as soon as it is freed. Values of users may have 15 MB."""
TOLD: Final = 3
"""Runs that are named when several are left."""


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for.

    Attributes:
        run_id: Identity of the run.
        app: Where its workflow is: absolute path of a file, or dotted name of a module.
        workflow: Name of the workflow in it.
        arguments: By name, as JSON or as words; what is recorded, where none were given.
        timeout: Seconds to wait for the end, or None.
        exists: Whether the run was there when it was asked for.
        named: Whether a workflow was named, which the run then has to be one of.
        quiet: Not to show what code in workers prints.
        imports: How its app is imported, where this process is the orchestrator.
        budget: What it may use up, in place of the workflow's own; None where nothing is said.
    """

    run_id: str
    app: str
    workflow: str
    arguments: dict[str, Any]
    timeout: float | None
    exists: bool
    named: bool
    quiet: bool = False
    imports: Imports = NOTHING_SAID
    budget: "Budget | None" = None

    @classmethod
    def of(
        cls,
        home: "Home",
        app: str | None,
        workflow: str | None,
        inputs: dict[str, Any] | None,
        run_id: str | None,
        timeout: float | None,
    ) -> "Order":
        """Put together what was typed and what is on record.

        Raises:
            RunNotFound: Only an id was given, and there is no such run.
            IdConflict: The run is one of another workflow.
            BadParameter: The id could be none.
        """
        from greenroom.workflows.ids import run_id as make_id

        first = None if run_id is None else _started(home, run_id)
        if first is not None:
            given = dict(first.arguments) if inputs is None else inputs
            place = (first.app, first.workflow) if app is None or workflow is None else (app, workflow)
            if place != (first.app, first.workflow):
                msg = (
                    f"run {run_id!r} exists and was started with workflow {first.workflow!r} of {first.app}; choose "
                    f"another id, or go on with that run: {go_on(first.run_id)}"
                )
                raise IdConflict(msg)
            return cls(first.run_id, *place, given, timeout, exists=True, named=app is not None)
        if app is None or workflow is None:
            msg = (
                f"there is no run {run_id!r} in the journal {home.journal}, and nothing was started; --journal names "
                "another journal, --home another home"
            )
            raise RunNotFound(msg)
        try:
            made = make_id(run_id, workflow)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--id") from error
        return cls(made, app, workflow, inputs or {}, timeout, exists=False, named=True)


def _started(home: "Home", run_id: str) -> "RunStarted | None":
    """Give how a run was started, None where there is no such run yet.

    Raises:
        BadParameter: It is a session, or a schedule.
    """
    from greenroom.messages.advice import show_session
    from greenroom.messages.events.events import RunStarted

    try:
        with look(home) as reads:
            first = reads.events(run_id, limit=1)[0].event
    except RunNotFound:
        return None
    if not isinstance(first, RunStarted):
        name, _, key = run_id.partition("/")
        msg = f"{run_id} is a session, and no run: {show_session(name, key)} shows it"
        raise click.BadParameter(msg, param_hint="--id")
    return first


# ---------------------------------------------------------------- whose run it is


def carry_out(settings: Settings, order: Order) -> int:
    """Have a run done and follow it to its end; give the exit code.

    Whoever lives on the home does it, and else this process. Of several that begin at once one owns the home, and the
    others follow what they submit to it.

    Raises:
        GreenroomError: The run could not be started or did not complete.
    """
    from greenroom.workflows.control import control_socket

    home = settings.home
    try:
        code = settle(settings, lambda: _submit(home, order), lambda: host(settings, order))
        return _follow(home, order) if code is None else code
    except KeyboardInterrupt:
        if _started(home, order.run_id) is None or not control_socket.is_open(home):
            raise
        note(f"run {order.run_id} goes on in {_where(home)}; come back to it with {go_on(order.run_id)}")
        return INTERRUPTED


def detached(settings: Settings, order: Order) -> tuple[str, str]:
    """Have a run done by an orchestrator that stays: the one that lives on the home, or one in the background.

    Returns:
        The run's id, once it is durable, and a sentence about where it goes on.
    """
    from greenroom.cli.hosting.background import host_in_background

    def submit() -> str:
        _submit(settings.home, order)
        return _where(settings.home)

    def background() -> str:
        host_in_background(settings.home, lambda started: host(settings, order, started))
        return f"{_where(settings.home)}, in the background until it is done"

    where = settle(settings, submit, background)
    return order.run_id, f"run {order.run_id} goes on in {where}; follow it with {go_on(order.run_id)}"


def _where(home: "Home") -> str:
    pid = home.owner()
    return "the orchestrator of this journal" if pid is None else f"the orchestrator with pid {pid}"


def settle(settings: Settings, ask: Callable[[], T], live: Callable[[], U]) -> T | U:
    """Ask the orchestrator that lives on the home, or be it; whichever is possible first.

    Raises:
        HomeInUse: The home or the journal is somebody's who takes no commands.
    """
    from greenroom.workflows.control import control_socket

    deadline = time.monotonic() + SETTLING
    while True:
        if control_socket.is_open(settings.home):
            try:
                return ask()
            except (OrchestratorClosed, OrchestratorUnreachable) as error:  # it is about to end
                refused: GreenroomError = error
        else:
            try:
                return live()
            except HomeInUse as error:  # somebody was quicker, and is about to take commands; or is about to end
                refused = error
        if time.monotonic() > deadline or _is_anothers(settings.home):
            raise refused
        time.sleep(POLL / 2)


def _is_anothers(home: "Home") -> bool:
    """Say whether the home is an orchestrator's that has another journal than the one that is meant."""
    from greenroom.workflows.control import control_socket
    from greenroom.workflows.home.home import Home

    return not home.is_meant() and control_socket.is_open(Home(home.path))


def open_orchestrator(
    settings: Settings, *, output: "OutputOption" = True, imports: Imports = NOTHING_SAID
) -> "Orchestrator":
    """Be the orchestrator of the journal that is meant, on the home that is meant.

    A journal that was named without a home gets another home where its last one is in use by another journal's.

    Raises:
        HomeInUse: One of them is another orchestrator's.
    """
    from greenroom.supervision.kernel.linux import map_blocks_from
    from greenroom.workflows.api.orchestrator import Orchestrator

    map_blocks_from(MAPPED_BYTES)  # only here: nothing can give it back, so a process of the user's keeps its own
    home = settings.home
    if home.is_named and settings.directory is None and _is_anothers(home):
        return Orchestrator(home.journal, output=output, **imports.options)
    return Orchestrator(home.journal, home=home.path, output=output, **imports.options)


# ---------------------------------------------------------------- the orchestrator is another process


def _submit(home: "Home", order: Order) -> None:
    """Have the living orchestrator start a run, or let one go on.

    Raises:
        GreenroomError: It refuses.
    """
    from greenroom.messages.commands import ResumeRun, StartRun
    from greenroom.messages.records import ENDED
    from greenroom.workflows.api.handles.run import check
    from greenroom.workflows.control.control_socket import ask

    if order.imports != NOTHING_SAID:
        note(f"--env and --import-timeout are left out: the app is imported by {_where(home)}, as that was told to")
    if order.named:
        start = StartRun(
            run_id=order.run_id,
            app=order.app,
            workflow=order.workflow,
            arguments=dict(order.arguments),
            budget=order.budget,
        )
        check(ask(home, start))
    if order.exists:
        with look(home) as reads:
            ended = reads.run(order.run_id).status in ENDED
        if not ended:
            try:
                check(ask(home, ResumeRun(run_id=order.run_id)))
            except RunEnded:
                return  # in this moment


def _follow(home: "Home", order: Order) -> int:
    """Show the progress of a run that another process has, and its result; give the exit code."""
    from greenroom.cli.display.progress import follow

    try:
        with look(home) as reads, follow(run := Distant(reads, home, order.run_id)), _output(reads, order):
            result = run.result(order.timeout)
    except TimeoutError:
        return _not_in_time(order, home, f"goes on in {_where(home)}")
    emit(result)
    return 0


@contextmanager
def _output(reads: "JournalQueries", order: Order) -> Generator[None]:
    """Show what the code of the run prints while the block runs, and at its end what is left of it.

    Of a run that was there before, nothing that it had printed by then is shown.
    """
    if order.quiet:
        yield
        return
    from greenroom.workflows.output.live_view import prefix

    done = threading.Event()
    known = reads.logs(order.run_id) if order.exists else []
    last = known[-1].offset if known else 0

    def show() -> None:
        nonlocal last
        for line in reads.logs(order.run_id, last):
            last = line.offset
            say(f"{prefix(line, runs=False)} {line.text}", sys.stderr)

    def poll() -> None:
        while not done.wait(POLL):
            show()

    thread = threading.Thread(target=poll, name="output", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        show()


class Distant:
    """A run that the orchestrator of another process has, as its journal tells of it.

    Args:
        reads: Looks at the journal.
        home: Where that orchestrator is.
        run_id: The run.
    """

    def __init__(self, reads: "JournalQueries", home: "Home", run_id: str) -> None:
        """Know where to look."""
        self.id: Final = run_id
        self.reads: Final = reads
        self._home = home

    def events(self, after: int = 0, *, follow: bool = False) -> "Iterator[Stored]":
        """Give the events above ``after``; with ``follow``, go on until the run is over or nobody has it any more."""
        from greenroom.messages.core.json_text import shown
        from greenroom.workflows.api.waiting import is_over, poll_events

        def over() -> bool:
            return not follow or is_over(self.reads, self.id) or not self._is_hosted()

        for stored in poll_events(self.reads, self.id, after, over):
            yield replace(stored, event=shown(stored.event))

    def result(self, timeout: float | None) -> Any:
        """Wait until the run is over, and give its result or raise what stands in its place.

        Raises:
            TimeoutError: It is not over within ``timeout`` seconds.
            OrchestratorUnreachable: Its orchestrator has ended before the run was over.
        """
        from greenroom.workflows.api.waiting import is_over, not_in_time

        deadline = None if timeout is None else time.monotonic() + timeout
        hosted = time.monotonic()
        while not is_over(self.reads, self.id):
            now = time.monotonic()
            if self._is_hosted():
                hosted = now
            elif now - hosted > ENDING:
                lost = f"{_where(self._home)}, which had run {self.id}, has ended; nothing of the run is lost"
                msg = f"{lost}: {go_on(self.id)} goes on with it"
                raise OrchestratorUnreachable(msg)
            if deadline is not None and now >= deadline:
                raise not_in_time(self.id, timeout, self.reads.run(self.id).status)
            time.sleep(POLL)
        return self.reads.result(self.id)

    def _is_hosted(self) -> bool:
        from greenroom.workflows.control import control_socket

        return control_socket.is_open(self._home)


# ---------------------------------------------------------------- the orchestrator is this process


def host(settings: Settings, order: Order, started: Callable[[list[str]], None] | None = None) -> int:
    """Run an orchestrator in this process until the run is done, and what others have submitted; give the exit code.

    Args:
        settings: The home, and how to show things.
        order: What to run.
        started: Called with the ids of its runs once they are durable. Given for a run in the background, whose result
            stays in the journal; without it the result is printed.

    Raises:
        HomeInUse: Another orchestrator lives there.
        GreenroomError: The run could not be started.
    """
    from greenroom.cli.display.progress import tell_of_slow_imports
    from greenroom.cli.hosting.log_file import log_to_home

    with open_orchestrator(settings, output=not order.quiet, imports=order.imports) as orchestrator:
        log_to_home(orchestrator.home, secrets=order.imports.secrets())
        tell_of_slow_imports(orchestrator)
        run = _begin(orchestrator, order)
        if started is not None:
            started([run.id])
        try:
            code = _see_through(orchestrator, order, run, quiet=started is not None)
            _wait_for_others(orchestrator, [], f"run {run.id} is done")
        except KeyboardInterrupt:
            _say_interrupted(orchestrator, run)
            return INTERRUPTED
    return code


def _begin(orchestrator: "Orchestrator", order: Order) -> "Run[Any]":
    """Start the run, or let it go on: whoever asks for it by its id wants that."""
    if order.named:
        run = orchestrator.start_app(order.app, order.workflow, order.arguments, id=order.run_id, budget=order.budget)
    else:
        run = orchestrator.handle(order.run_id, None)
    if run.status in {"parked", "paused"}:
        run.resume()
    return run


def _see_through(orchestrator: "Orchestrator", order: Order, run: "Run[Any]", *, quiet: bool) -> int:
    """Show the progress of a run of this process, and its result or failure; give the exit code."""
    from greenroom.cli.app import complain
    from greenroom.cli.display.progress import follow

    try:
        with follow(run):
            result = run.result(order.timeout)
            orchestrator.flush_output()  # so that it stands above what progress shows last
    except TimeoutError:
        return _not_in_time(order, orchestrator.home)
    except OrchestratorClosed:
        raise
    except GreenroomError as error:
        return complain(error)
    if not quiet:
        emit(result)
    return 0


def _wait_for_others(orchestrator: "Orchestrator", run_ids: Sequence[str], why: str) -> None:
    """Stay until the runs that other processes have asked for are done too, and then take nothing more from them."""
    told = False
    while left := orchestrator.leave(run_ids):
        if not told and not run_ids:
            told = True
            note(f"{why}; what others have submitted goes on here until it is done: {_named(left)} (Ctrl+C ends that)")
        with suppress(GreenroomError):  # a failure is told to whoever follows it; that of the journal ends the loop
            orchestrator.wait_result(left[0], None)


def _say_interrupted(orchestrator: "Orchestrator", run: "Run[Any]") -> None:
    """Say which runs stop with this process, and how each goes on."""
    from greenroom.messages.records import ENDED

    left = dict.fromkeys(run_id for run_id in orchestrator.leave() if run_id != run.id)
    if run.status not in ENDED:
        note(f"run {run.id} was interrupted. Nothing of it is lost; go on with: {go_on(run.id)}")
    for run_id in left:
        note(f"run {run_id}, which others want, stops too. Nothing of it is lost; go on with: {go_on(run_id)}")


def _named(run_ids: Sequence[str]) -> str:
    rest = len(run_ids) - TOLD
    return ", ".join(run_ids[:TOLD]) + (f" and {rest} more" if rest > 0 else "")


def resume_in_background(settings: Settings, command: "Command", run_ids: Sequence[str]) -> tuple[list[str], str]:
    """Have an orchestrator in the background carry out a command that lets runs go on, and stay until they are done.

    Args:
        settings: The home.
        command: What lets them go on.
        run_ids: Runs to stay for besides those that the command names.

    Returns:
        The runs that go on, and a word about where.

    Raises:
        HomeInUse: Another orchestrator lives there.
        GreenroomError: The command was refused.
    """
    from greenroom.cli.hosting.background import host_in_background
    from greenroom.cli.hosting.log_file import log_to_home
    from greenroom.messages.commands import Resumed, ResumeRun
    from greenroom.workflows.api.handles.run import check

    def live(started: Callable[[list[str]], None]) -> int:
        with open_orchestrator(settings) as orchestrator:
            log_to_home(orchestrator.home)
            reply = check(orchestrator.send(command))
            told = list(reply.run_ids) if isinstance(reply, Resumed) else []
            told += [command.run_id] if isinstance(command, ResumeRun) else []
            every = list(dict.fromkeys([*told, *run_ids]))
            started(every)
            _wait_for_others(orchestrator, every, "")
        return 0

    going = host_in_background(settings.home, live)
    return going, f"{_where(settings.home)}, in the background until {'it is' if len(going) == 1 else 'they are'} done"


# ---------------------------------------------------------------- what keeps it


def _not_in_time(order: Order, home: "Home", where: str = "") -> int:
    """Say that a run has not ended in time, and how to come back to it; give the exit code."""
    asked = open_questions(home, order.run_id)
    what = asked or f"has not ended within {order.timeout:g} s"
    if where:
        note(f"run {order.run_id} {what}. It {where}; come back to it with: {go_on(order.run_id)}")
    else:
        note(f"run {order.run_id} {what}. Nothing of it is lost; go on with: {go_on(order.run_id)}")
    return WAITING if asked else TIMEOUT


def open_questions(home: "Home", run_id: str) -> str:
    """Say what a run and its children ask people, and how to answer; empty where they ask nothing."""
    with look(home) as reads:
        asked = reads.approvals(run_id)
    if not asked:
        return ""
    questions = "; ".join(f"{record.action} ({record.id})" for record in asked)
    first = asked[0].id
    return f"waits for a person: {questions}; decide, while it runs, with {approve(first)} or {reject(first)}"
