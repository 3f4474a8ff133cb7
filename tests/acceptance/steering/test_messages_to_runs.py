"""Messages to runs: acknowledged once they are on the disk, taken in order, each once, by whatever is alive then."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from greenroom import Orchestrator, RunEnded, RunFailed, RunNotFound, receive
from greenroom.messages.commands import Accepted, Refused, SignalRun
from greenroom.messages.events.events import MessageRefused
from tests.acceptance import harness
from tests.acceptance.apps.steering import mail
from tests.support import ROOT, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


def test_messages_are_taken_in_the_order_in_which_they_were_sent_asked_for_or_not(orchestrator):
    run = orchestrator.start(mail.collect, 50)
    for n in range(50):
        run.signal(mail.Go(n=n))
    assert run.result(30) == list(range(50))


def test_a_key_makes_a_repetition_the_same_message(orchestrator):
    run = orchestrator.start(mail.collect, 3)
    for n in (1, 2, 2, 1, 3):
        run.signal(mail.Go(n=n), key=f"go-{n}")
    assert run.result(30) == [1, 2, 3]
    run.signal(mail.Go(n=3), key="go-3")  # what was taken once is no mistake to send again


def test_a_message_of_another_type_is_left_for_who_asks_for_it(orchestrator):
    run = orchestrator.start(mail.collect, 1)
    run.signal(mail.Stop())
    run.signal(mail.Go(n=7))
    assert run.result(30) == [7]


def test_a_wait_ends_at_its_limit_and_a_later_message_is_for_the_next_wait(orchestrator):
    run = orchestrator.start(mail.impatient)
    eventually(lambda: any(stored.event.type == "timer.fired" for stored in run.events()))
    run.signal(mail.Go(n=3))
    assert run.result(30) == "gave up, then 3"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("Go", {"n": "many"}, "n: "),
        ("Go", {"n": 1, "m": 2}, "m: there is no such field"),
        ("Go", [], "object"),
        ("Goo", {"n": 1}, "nothing in the app is called 'Goo'; did you mean `Go`"),
    ],
)
def test_a_message_that_nothing_in_the_app_could_take_is_refused_where_it_is_sent(orchestrator, name, value, says):
    run = orchestrator.start(mail.collect, 1)
    eventually(lambda: run.status == "waiting", 60)
    reply = orchestrator.send(SignalRun(run_id=run.id, name=name, value=value))
    assert isinstance(reply, Refused)
    assert reply.code == "invalid"
    assert says in reply.message
    assert not [stored for stored in run.events() if stored.event.type == "message.received"]
    run.signal(mail.Go(n=2))
    assert run.result(30) == [2]


def test_a_message_that_came_unseen_and_does_not_fit_is_refused_by_the_run_which_waits_on(home, mark, tmp_path):
    """Nobody looks at it where no worker has the app loaded: a run that waits is woken by the message alone."""
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        run = orchestrator.start(mail.collect, 1, id="collects")
        eventually(lambda: run.status == "waiting", 60)
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        run = orchestrator.get("collects")
        assert isinstance(orchestrator.send(SignalRun(run_id=run.id, name="Go", value={"n": "many"})), Accepted)
        refused = lambda: [each.event for each in run.events() if isinstance(each.event, MessageRefused)]  # noqa: E731
        assert "does not fit Go: n:" in eventually(refused, 60)[0].reason
        run.signal(mail.Go(n=2))
        assert run.result(30) == [2]


def test_a_model_that_is_made_while_the_workflow_runs_can_be_sent(orchestrator):
    run = orchestrator.start(mail.makes_its_own)
    eventually(lambda: run.status == "waiting", 60)
    eventually(lambda: orchestrator._engine.runs.statistics()["live"] == 0, 60)  # nor in memory
    assert isinstance(orchestrator.send(SignalRun(run_id=run.id, name="Local7", value={"n": 3})), Accepted)
    assert run.result(30) == 3


def test_a_run_that_waits_for_a_message_holds_nothing_and_is_woken_by_it(orchestrator):
    runs = [orchestrator.start(mail.collect, 1) for _ in range(20)]
    eventually(lambda: all(run.status == "waiting" for run in runs))
    alive = orchestrator._engine.runs.statistics
    eventually(lambda: alive()["live"] == 0, 20, what="leaving memory")
    for run in runs:
        run.signal(mail.Go(n=4))
    assert [run.result(30) for run in runs] == [[4]] * 20


def test_an_acknowledged_message_survives_the_kill_of_everything(home: Path, mark: str, tmp_path: Path):
    """A process starts a run, sends it messages, and is killed; what it had acknowledged is taken by the next one."""
    log, journal = tmp_path / "effects.log", tmp_path / "runs.db"
    script = tmp_path / "sender.py"
    script.write_text(
        "import sys\n"
        "from tests.acceptance.apps.steering import mail\n"
        "from greenroom import Orchestrator\n"
        "with Orchestrator(sys.argv[1]) as orchestrator:\n"
        "    run = orchestrator.start(mail.noting, sys.argv[2], 1000, id='noting')\n"
        "    for n in range(1000):\n"
        "        run.signal(mail.Go(n=n))\n"
        "        print(n, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script), str(journal), str(log)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as sender:
        assert sender.stdout is not None
        acknowledged = [int(sender.stdout.readline()) for _ in range(40)]
        sender.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in sender.stdout.read().splitlines()]
    with Orchestrator(journal, pools=harness.pools()) as orchestrator:
        run = orchestrator.get("noting")
        eventually(lambda: len(completed(run)) >= len(acknowledged), 30)
        sent = [stored.event.value["n"] for stored in run.events() if stored.event.type == "message.received"]
        assert sent[: len(acknowledged)] == acknowledged
        assert len(sent) <= len(acknowledged) + 1, "at most the one whose answer was cut off"
        eventually(lambda: completed(run) == sent, 30)


def completed(run) -> list[int]:
    return [int(step.key.split("#")[1]) - 1 for step in run.steps() if step.status == "completed"]


def test_who_cannot_take_a_message_says_so(orchestrator):
    run = orchestrator.start(mail.collect, 0)
    run.result(30)
    with pytest.raises(RunEnded, match="completed: it takes no messages"):
        run.signal(mail.Go(n=1))
    gone = orchestrator.start(mail.collect, 0)
    gone.id = "nobody"
    with pytest.raises(RunNotFound, match="nobody"):
        gone.signal(mail.Go(n=1))
    with pytest.raises(TypeError, match="pydantic model"):
        run.signal({"n": 1})
    with pytest.raises(RunFailed, match="takes a pydantic model"):
        orchestrator.start(mail.wrong).result(30)
    with pytest.raises(RunFailed, match="await a receive\\(\\) of each with asyncio.wait"):
        orchestrator.start(mail.either).result(30)
    with pytest.raises(RuntimeError, match="workflow code"):
        asyncio.run(receive(mail.Go))
