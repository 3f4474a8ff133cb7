"""Sessions: durable actors that answer each message once and in order, and hold nothing while they wait."""

import concurrent.futures
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pydantic import BaseModel

from greenroom import (
    DefinitionError,
    InvalidInput,
    MailboxFull,
    Orchestrator,
    RunNotFound,
    RunParked,
    SessionClosed,
    TurnFailed,
    session,
)
from greenroom.messages.commands import (
    Accepted,
    DropDeadLetter,
    RedriveDeadLetter,
    Refused,
    ResumeRun,
    TellSession,
    TurnAnswered,
)
from greenroom.workflows.decisions.messages import mailbox
from greenroom.workflows.runs.message_router import MessageRouter
from tests.acceptance import harness
from tests.acceptance.apps.sessions import talk
from tests.support import ROOT, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_a_session_keeps_its_state_from_message_to_message(orchestrator):
    parrot = orchestrator.session(talk.parrot, "polly")
    assert parrot.state == talk.Memory()
    assert parrot.ask(talk.Say(text="hello"), 30) == talk.Reply(text="HELLO", turns=1)
    assert parrot.ask(talk.Say(text="again"), 30) == talk.Reply(text="AGAIN", turns=2)
    assert parrot.state == talk.Memory(said=["HELLO", "AGAIN"])
    assert parrot.ask(talk.Forget(), 30).text == "forgotten"
    assert orchestrator.session(talk.parrot, "polly").state.said == []
    assert orchestrator.session(talk.parrot, "other").state.said == []
    assert (parrot.status, parrot.id) == ("waiting", "parrot/polly")


def test_history_tells_every_message_with_its_reply_and_its_steps(orchestrator):
    parrot = orchestrator.session(talk.parrot, "polly")
    assert parrot.history() == []
    parrot.tell(talk.Say(text="a"), key="first")
    parrot.ask(talk.Forget(), 30)
    first, second = parrot.history()
    assert (first.number, first.message, first.key) == (1, talk.Say(text="a"), "first")
    assert (first.status, first.reply, first.error) == ("answered", talk.Reply(text="A", turns=1), None)
    assert [(step.name, step.result) for step in first.steps] == [("shout", "A")]
    assert (second.message, second.steps) == (talk.Forget(), ())


def test_messages_from_many_threads_are_answered_once_each(orchestrator):
    plain = orchestrator.session(talk.plain, "p")
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda n: plain.ask(talk.Say(text="x" * n), 60), range(60)))
    assert replies == list(range(60))
    assert sorted(turn.message.text for turn in plain.history()) == sorted("x" * n for n in range(60))
    assert [turn.number for turn in plain.history()] == list(range(1, 61))


def test_told_messages_are_dealt_with_in_order(orchestrator, tmp_path):
    scribe = orchestrator.session(talk.scribe, "s")
    for n in range(10):
        scribe.tell(talk.Mark(n=n, log=str(tmp_path / "log")))
    assert scribe.ask(talk.Mark(n=10, log=str(tmp_path / "log")), 60) == list(range(11))
    assert (tmp_path / "log").read_text().split("\n")[:4] == ["0 begin", "0 end", "1 begin", "1 end"]


def test_a_key_makes_a_repetition_the_same_message_with_the_same_reply(orchestrator):
    parrot = orchestrator.session(talk.parrot, "polly")
    first = parrot.ask(talk.Say(text="a"), 30, key="k")
    parrot.ask(talk.Say(text="b"), 30)
    assert parrot.ask(talk.Say(text="a"), 30, key="k") == first
    parrot.tell(talk.Say(text="a"), key="k")
    eventually(lambda: orchestrator._engine.runs.statistics()["live"] == 0, 20, what="leaving memory")
    assert parrot.ask(talk.Say(text="a"), 30, key="k") == first
    assert len(parrot.history()) == 2


class Stranger(BaseModel):
    text: str


def test_a_message_that_does_not_fit_is_refused_at_the_door_by_field(orchestrator):
    parrot = orchestrator.session(talk.parrot, "polly")
    with pytest.raises(InvalidInput, match="session `parrot` takes Say or Forget, not Stranger"):
        parrot.ask(Stranger(text="x"))
    app = talk.parrot.definition.app
    command = TellSession(app=app, session="parrot", session_key="polly", name="Say", value={"text": 3})
    refused = orchestrator.send(command)
    assert isinstance(refused, Refused)
    assert (refused.code, [fault.field for fault in refused.faults]) == ("invalid", ["message.text"])
    unknown = orchestrator.send(command.model_copy(update={"name": "Shout"}))
    assert isinstance(unknown, Refused)
    assert "message: is not a Say or Forget" in unknown.message
    assert orchestrator.sessions() == []
    nobody = orchestrator.send(command.model_copy(update={"session": "parot"}))
    assert isinstance(nobody, Refused)
    assert (nobody.code, "did you mean `parrot`?" in nobody.message) == ("not_found", True)


def test_the_value_alone_says_which_type_it_is_where_that_is_clear(orchestrator):
    app = talk.plain.definition.app
    command = TellSession(app=app, session="plain", session_key="p", value={"text": "four"})
    assert orchestrator.send(command) == Accepted(run_id="plain/p", number=1)


def test_a_turn_that_raises_is_a_dead_letter_and_leaves_no_trace_in_the_state(orchestrator):
    moody = orchestrator.session(talk.moody, "m")
    moody.ask(talk.Say(text="fine"), 30)
    with pytest.raises(TurnFailed, match="message 2 to session moody/m failed: ValueError: not today") as caught:
        moody.ask(talk.Say(text="raise"), 30)
    assert (caught.value.number, caught.value.session, caught.value.step) == (2, "moody/m", None)
    assert moody.state.said == ["fine"]
    (letter,) = orchestrator.dead_letters()
    assert (letter.run_id, letter.letter, letter.type, letter.value) == ("moody/m", "2", "Say", {"text": "raise"})
    assert letter.failure.message == "not today"
    assert "talk.py" in letter.failure.traceback
    assert moody.ask(talk.Say(text="fine"), 30) == "well: 2"
    assert [turn.status for turn in moody.history()] == ["answered", "failed", "answered"]
    emitted = [stored.event.value for stored in orchestrator.get("moody/m").events() if stored.type == "value.emitted"]
    assert emitted == ["fine", "fine"]


def test_a_state_that_does_not_fit_its_model_is_the_fault_of_its_turn_alone(orchestrator):
    moody = orchestrator.session(talk.moody, "m")
    with pytest.raises(TurnFailed, match="the state of session `moody` does not fit Memory: said: Input should be"):
        moody.ask(talk.Say(text="misfit"), 30)
    assert moody.ask(talk.Say(text="fine"), 30) == "well: 1"
    assert moody.state.said == ["fine"]


def test_a_message_too_long_for_any_worker_is_refused_or_set_aside(orchestrator):
    plain = orchestrator.session(talk.plain, "p")
    with pytest.raises(InvalidInput, match="the message has 9000011 bytes"):
        plain.ask(talk.Say(text="\0" * 1_500_000), 30)  # six bytes each
    long = talk.Say(text="\0" * 1_300_000)
    for _ in range(2):
        plain.ask(long, 30)
    with pytest.raises(TurnFailed, match="over the limit"):  # with the state that it has grown by now
        plain.ask(long, 30)
    assert plain.ask(talk.Say(text="four"), 30) == 4
    assert [letter.letter for letter in orchestrator.dead_letters()] == ["3"]


def test_a_message_to_a_run_that_no_worker_could_take_is_refused(orchestrator):
    run = orchestrator.start(talk.listener)
    with pytest.raises(InvalidInput, match="are the most"):
        run.signal(talk.Word(text="x" * 9_000_000))
    run.cancel()


@pytest.mark.parametrize(("text", "step"), [("die", None), ("poison", "1/crash#1")])
def test_a_message_that_kills_its_workers_is_set_aside_with_its_evidence(orchestrator, text, step):
    moody = orchestrator.session(talk.moody, "m")
    with pytest.raises(TurnFailed) as caught:
        moody.ask(talk.Say(text=text), 60)
    assert caught.value.step == step
    letter = next(letter for letter in orchestrator.dead_letters() if letter.kind == "message")
    assert "SIGKILL" in letter.failure.message
    assert moody.ask(talk.Say(text="fine"), 30) == "well: 1"


def test_a_session_that_stops_at_failures_waits_for_a_person(orchestrator):
    strict = orchestrator.session(talk.strict, "s")
    with pytest.raises(TurnFailed):
        strict.ask(talk.Say(text="raise"), 30)
    eventually(lambda: strict.status == "parked")
    with pytest.raises(RunParked, match="message 1 failed .* goes on with the next message once it is resumed"):
        strict.ask(talk.Say(text="a"), 30, key="a")
    assert strict.state.said == []
    orchestrator.send(ResumeRun(run_id="strict/s"))
    assert strict.ask(talk.Say(text="a"), 30, key="a") == "a"


def test_a_dead_letter_is_sent_again_once_or_dropped(orchestrator):
    moody = orchestrator.session(talk.moody, "m")
    for _ in range(2):
        with pytest.raises(TurnFailed):
            moody.ask(talk.Say(text="raise"), 30)
    assert isinstance(orchestrator.send(RedriveDeadLetter(run_id="moody/m", letter="1")), Accepted)
    eventually(lambda: [letter.letter for letter in orchestrator.dead_letters()] == ["2", "3"])
    assert isinstance(orchestrator.send(DropDeadLetter(run_id="moody/m", letter="2")), Accepted)
    assert [letter.letter for letter in orchestrator.dead_letters()] == ["3"]
    gone = orchestrator.send(RedriveDeadLetter(run_id="moody/m", letter="1"))
    assert isinstance(gone, Refused)
    assert gone.code == "not_found"


def test_a_message_inside_a_turn_is_not_to_be_waited_for(orchestrator):
    with pytest.raises(TurnFailed, match="a session has each message as a turn of its own"):
        orchestrator.session(talk.moody, "m").ask(talk.Say(text="receive"), 30)


def test_a_closed_session_answers_what_waits_and_takes_nothing_more(orchestrator, tmp_path):
    gated = orchestrator.session(talk.gated, "g")
    with pytest.raises(RunNotFound):
        gated.close()
    gated.tell(talk.Say(text=str(tmp_path)))
    gated.tell(talk.Say(text=str(tmp_path)), key="second")
    harness.reached(tmp_path)
    gated.close()
    with pytest.raises(SessionClosed):
        gated.tell(talk.Say(text="late"))
    (tmp_path / "gate").touch()
    eventually(lambda: gated.status == "completed")
    assert len(gated.state.said) == 2
    with pytest.raises(SessionClosed):
        gated.ask(talk.Say(text="later"), 30)
    assert gated.ask(talk.Say(text=str(tmp_path)), 30, key="second") == "through"
    gated.close()


def test_a_message_whose_key_is_looked_up_while_its_session_ends_is_refused(orchestrator, monkeypatch):
    plain = orchestrator.session(talk.plain, "p")
    plain.ask(talk.Say(text="early"), 30)
    looking, ended = threading.Event(), threading.Event()
    number = MessageRouter._number

    def slow(self: MessageRouter, run_id: str, key: str) -> int:
        looking.set()
        assert ended.wait(30)
        return number(self, run_id, key)

    monkeypatch.setattr(MessageRouter, "_number", slow)
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        late = threads.submit(plain.ask, talk.Say(text="late"), 30, key="late")
        assert looking.wait(30)
        plain.close()
        eventually(lambda: orchestrator._engine.runs.statistics()["live"] == 0, 20, what="leaving memory")
        ended.set()
        with pytest.raises(SessionClosed):
            late.result(30)


def test_a_message_without_a_key_is_looked_up_nowhere(orchestrator, monkeypatch):
    def forbidden(self: MessageRouter, run_id: str, key: str) -> int:
        msg = f"session {run_id} looks for the key {key} in its journal"
        raise AssertionError(msg)

    monkeypatch.setattr(MessageRouter, "_number", forbidden)
    parrot = orchestrator.session(talk.parrot, "p")
    assert [parrot.ask(talk.Say(text="same"), 30).turns for _ in range(3)] == [1, 2, 3]
    parrot.tell(talk.Say(text="same"))
    eventually(lambda: [turn.status for turn in parrot.history()] == ["answered"] * 4)
    assert {turn.key for turn in parrot.history()} == {None}
    assert not orchestrator.reads.journal.marks("message", parrot.id)


def test_an_ask_that_is_not_answered_in_time_leaves_its_message(orchestrator, tmp_path):
    gated = orchestrator.session(talk.gated, "g")
    with pytest.raises(TimeoutError, match="has not answered within 0.2 s"):
        gated.ask(talk.Say(text=str(tmp_path)), 0.2, key="k")
    (tmp_path / "gate").touch()
    assert gated.ask(talk.Say(text=str(tmp_path)), 30, key="k") == "through"
    assert len(gated.history()) == 1


def test_a_full_mailbox_refuses(orchestrator, tmp_path, monkeypatch):
    monkeypatch.setattr(mailbox, "CAPACITY", 3)
    gated = orchestrator.session(talk.gated, "g")
    for _ in range(3):
        gated.tell(talk.Say(text=str(tmp_path)))
    with pytest.raises(MailboxFull, match="3 messages wait"):
        gated.tell(talk.Say(text=str(tmp_path)))
    (tmp_path / "gate").touch()
    eventually(lambda: len(gated.state.said) == 3)
    gated.tell(talk.Say(text=str(tmp_path)))


def test_sessions_tell_each_other_once(orchestrator):
    ann = orchestrator.session(talk.gossip, "ann")
    assert [ann.ask(talk.Say(text=text), 30) for text in ("x", "y")] == [1, 2]
    for name in ("bea", "cid"):
        other = orchestrator.session(talk.gossip, name)
        eventually(lambda other=other: len(other.state.said) == 2)
        assert sorted(other.state.said) == ["heard x", "heard y"]
    orchestrator.start(talk.rumour, 20).result(60)
    dan = orchestrator.session(talk.gossip, "dan")
    eventually(lambda: len(dan.state.said) == 20)
    assert sorted(dan.state.said) == sorted(f"heard {n}" for n in range(20))
    eventually(lambda: not orchestrator._engine.journal.marks("outgoing"))


def test_a_turn_signals_runs_and_a_run_that_is_not_there_takes_nothing(orchestrator):
    run = orchestrator.start(talk.listener, id="listening")
    messenger = orchestrator.session(talk.messenger, "m")
    assert messenger.ask(talk.Say(text="listening"), 30) == "sent"
    assert run.result(30) == "from listening"
    assert messenger.ask(talk.Say(text="nobody"), 30) == "sent"
    refused = eventually(
        lambda: [
            stored.event.refused
            for stored in orchestrator.get("messenger/m").events()
            if stored.type == "message.delivered" and stored.event.refused
        ]
    )
    assert refused == ["there is no run 'nobody'"]


def test_a_turn_that_waits_for_a_person_is_listed_and_decided(orchestrator):
    careful = orchestrator.session(talk.careful, "c")
    careful.tell(talk.Say(text="hm"))
    (asked,) = eventually(orchestrator.approvals)
    assert (asked.run_id, asked.action, asked.args) == ("careful/c", "say", {"text": "hm"})
    orchestrator.decide(asked.id, "edit", {"text": "hello"}, by="ada")
    eventually(lambda: careful.state.said == ["hello"])
    assert orchestrator.approvals() == []
    careful.tell(talk.Say(text="oh"))
    (again,) = eventually(orchestrator.approvals)
    assert again.id != asked.id
    orchestrator.decide(again.id, "reject")
    eventually(lambda: [turn.reply for turn in careful.history()] == ["hello", "silence"])


def test_a_turn_may_have_runs_of_its_own(orchestrator):
    parent = orchestrator.session(talk.parent, "p")
    assert [parent.ask(talk.Say(text=text), 30) for text in ("a", "b")] == ["A", "B"]
    assert {run.id for run in orchestrator.runs()} == {"parent/p/1.1", "parent/p/2.1"}


def test_a_worker_killed_in_a_turn_is_replaced_and_the_turn_counts_once(orchestrator, tmp_path):
    gated = orchestrator.session(talk.gated, "g")
    gated.tell(talk.Say(text=str(tmp_path)))
    pid = harness.reached(tmp_path)
    for worker in orchestrator.workers():
        if worker.kind == "program":
            orchestrator.kill(worker.id)
    os.kill(pid, signal.SIGKILL)
    (tmp_path / "gate").touch()
    eventually(lambda: gated.state.said == [str(tmp_path)], 30)
    assert [turn.status for turn in gated.history()] == ["answered"]


# ---------------------------------------------------------------- the death of the orchestrator

SPEAKER = """
import sys
from tests.acceptance.apps.sessions import talk
from tests.acceptance.apps.effects import append
from greenroom import Orchestrator
folder, count = sys.argv[1], int(sys.argv[2])
with Orchestrator(f"{folder}/runs.db", home=f"{folder}/home") as orchestrator:
    scribe = orchestrator.session(talk.scribe, "s")
    for n in range(count):
        scribe.tell(talk.Mark(n=n, log=f"{folder}/log"), key=f"mark-{n}")
        append(f"{folder}/acknowledged", str(n))
    print(scribe.ask(talk.Mark(n=count, log=f"{folder}/log"), key="last"))
"""


def test_every_message_is_answered_once_in_order_however_often_the_orchestrator_is_killed(mark, tmp_path, home):
    (tmp_path / "speaker.py").write_text(SPEAKER)
    command = [sys.executable, str(tmp_path / "speaker.py"), str(tmp_path), "12"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = tmp_path / "log"

    def lines() -> list[str]:
        return log.read_text().split("\n")[:-1] if log.exists() else []

    for seen in (0, 1, 4, 9, 14, 19):  # in the middle of turns and between them
        speaker = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        eventually(lambda seen=seen, speaker=speaker: len(lines()) > seen or speaker.poll() is not None, 60)
        speaker.kill()
        speaker.communicate()
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout.strip() == str(list(range(13))), ended.stdout + ended.stderr
    noted = [int(line.split()[0]) for line in lines()]
    assert noted == sorted(noted), "a turn began before the one before it had ended"
    assert set(noted) == set(range(13))
    with Orchestrator(tmp_path / "runs.db") as orchestrator:
        turns = orchestrator.session(talk.scribe, "s").history()
        assert [turn.message.n for turn in turns] == list(range(13))
        assert {turn.status for turn in turns} == {"answered"}


def test_a_message_recorded_as_sent_arrives_though_its_sender_was_killed_at_once(mark, tmp_path, home):
    script = tmp_path / "teller.py"
    script.write_text(
        "import sys, os, signal\n"
        "from tests.acceptance.apps.sessions import talk\n"
        "from greenroom import Orchestrator\n"
        "from greenroom.workflows.runs.message_router import MessageRouter\n"
        "MessageRouter.deliver = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "with Orchestrator(sys.argv[1]) as orchestrator:\n"
        "    orchestrator.session(talk.gossip, 'ann').ask(talk.Say(text='x'))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    journal = str(tmp_path / "runs.db")
    killed = subprocess.run([sys.executable, str(script), journal], env=environment, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    with Orchestrator(journal) as orchestrator:
        for name in ("bea", "cid"):
            other = orchestrator.session(talk.gossip, name)
            eventually(lambda other=other: other.state.said == ["heard x"], 30)


# ---------------------------------------------------------------- changed models

FIRST = """
from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from greenroom import session

class Count(BaseModel):
    n: int = 0
    {field}

class Add(BaseModel):
    n: int

@session(state=Count)
async def counter(state: Count, message: Add) -> str:
    state.n += message.n
    return repr(state)
"""


def add(orchestrator: Orchestrator, app: Path, n: int) -> str:
    from greenroom.messages.commands import AskSession  # noqa: PLC0415  beside its only use

    command = AskSession(app=str(app), session="counter", session_key="c", value={"n": n}, timeout=30)
    answer = orchestrator.send(command)
    return str(answer.reply) if isinstance(answer, TurnAnswered) else answer.message


def test_a_session_goes_on_when_its_state_gains_a_field_and_is_parked_where_it_cannot_be_read(mark, tmp_path, home):
    app, journal = tmp_path / "counting.py", tmp_path / "runs.db"
    lives = [
        ("", "Count(n=1)"),
        ("note: str = 'new'", "Count(n=2, note='new')"),
        ("note: list[int] = []", "the recorded state of session `counter` does not fit Count: note"),
        ("", "the recorded state of session `counter` does not fit Count: note: there is no such field. "),
        ("text: str = Field('', validation_alias=AliasChoices('text', 'note'))", "Count(n=5, text='new')"),
        ("model_config = ConfigDict(extra='ignore')", "Count(n=6)"),
        ("text: str = ''", "Count(n=7, text='')"),
    ]
    for field, expected in lives:
        app.write_text(FIRST.replace("{field}", field))
        with Orchestrator(journal) as orchestrator:
            if "counter/c" in [record.name + "/" + record.key for record in orchestrator.sessions()]:
                orchestrator.send(ResumeRun(run_id="counter/c"))
                eventually(lambda o=orchestrator: o._engine.reads.session("counter/c").status != "running")
            assert expected in add(orchestrator, app, 1)


def test_definitions_that_cannot_work_are_refused():
    with pytest.raises(DefinitionError, match="takes a state and a message"):

        @session
        async def lonely(message: talk.Say) -> None:
            pass

    class Bare(BaseModel):
        owner: str

    with pytest.raises(DefinitionError, match="has none for `owner`"):

        @session(state=Bare)
        async def bare(state: Bare, message: talk.Say) -> None:
            pass

    with pytest.raises(DefinitionError, match="is not a coroutine function"):

        @session(state=talk.Memory)
        def plain(state: talk.Memory, message: talk.Say) -> None:
            pass


def test_idle_sessions_leave_memory_and_are_woken_by_a_message(orchestrator):
    sessions = [orchestrator.session(talk.plain, str(n)) for n in range(50)]
    for each in sessions:
        each.tell(talk.Say(text="a"))
    eventually(lambda: all(each.status == "waiting" for each in sessions), 30)
    eventually(lambda: orchestrator._engine.runs.statistics()["live"] == 0, 30, what="leaving memory")
    began = time.perf_counter()
    assert [each.ask(talk.Say(text="bb"), 30) for each in sessions] == [2] * 50
    assert time.perf_counter() - began < 30
