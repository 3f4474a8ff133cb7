"""A turn can be watched while it runs, and stopped: its handler cleans up, its asker is told, the session goes on."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from greenroom import Orchestrator, RunNotFound, TurnFailed
from greenroom.testing import assert_state_is_fold
from tests.acceptance import harness
from tests.acceptance.apps.sessions import streaming
from tests.acceptance.harness import reached
from tests.acceptance.steering.streams.test_step_streams import check_text
from tests.support import ROOT, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def say(tmp_path):
    return lambda text: streaming.Say(text=text, folder=str(tmp_path))


def test_a_turn_is_watched_word_by_word_while_it_runs(orchestrator, say):
    chat = orchestrator.session(streaming.chat, "ada")
    with pytest.raises(RunNotFound, match="chat/ada"):
        next(chat.stream())
    chat.tell(say("first"))
    following = chat.stream("text", follow=True)
    items = [next(following), next(following)]
    assert chat.history()[0].status == "running"
    assert [item.value for item in chat.stream("news")] == ["thinking about first"], "the rest is held"
    while items[-1].kind != "final":
        items.append(next(following))
    eventually(lambda: chat.history()[0].status == "answered")
    check_text(items, chat.history()[0].reply)
    assert [item.value for item in chat.stream("news")] == ["thinking about first", "answered first"]
    assert len(items) > 5
    second = chat.ask(say("second"), 30)
    more = next(following)
    assert (more.step, more.offset) == ("2/writer#1", len(items)), "a follower goes on with the next turn"
    chat.close()
    assert [*following][-1].value == second
    assert next(chat.stream("text", after=len(items) - 1)) == more


def test_a_cancelled_turn_ends_in_the_middle_of_a_tool_and_the_next_message_is_answered(orchestrator, say, tmp_path):
    chat = orchestrator.session(streaming.chat, "ada")
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(chat.ask, say("brood"), 60)
        pid = reached(tmp_path, "brood")
        chat.tell(say("next"))
        assert chat.cancel_turn("it takes too long") is True
        with pytest.raises(TurnFailed, match="the turn was cancelled: it takes too long") as caught:
            asking.result(30)
    assert caught.value.cancelled
    eventually(lambda: not psutil.pid_exists(pid), what="the end of the tool's process")
    assert (tmp_path / "cleanup").read_text() == "cleaned up brood\n"
    answer = chat.ask(say("last"), 60)
    first, second, third = chat.history()
    assert (first.status, first.reply, second.status, third.reply) == ("failed", None, "answered", answer)
    assert first.error == "the turn was cancelled: it takes too long"
    assert [step.status for step in first.steps] == ["cancelled", "completed"]
    assert chat.state.said == ["next", "last"], "a cancelled turn leaves no state"
    assert [item.value for item in chat.stream("news")] == [
        "thinking about brood",
        "thinking about next",
        "answered next",
        "thinking about last",
        "answered last",
    ]
    assert orchestrator.dead_letters() == []
    assert chat.cancel_turn() is False
    assert_state_is_fold(orchestrator.get(chat.id))


def test_a_handler_that_swallows_its_cancellation_is_cancelled_all_the_same(orchestrator, say, tmp_path):
    chat = orchestrator.session(streaming.chat, "ada")
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(chat.ask, say("swallow"), 60)
        eventually(lambda: orchestrator.sessions() and list(chat.stream("text")))
        assert chat.cancel_turn()
        with pytest.raises(TurnFailed, match="failed: the turn was cancelled$"):
            asking.result(30)
    assert list(chat.stream("text"))[-1].kind == "discarded"
    assert chat.state.said == []
    assert (tmp_path / "cleanup").read_text() == "cleaned up swallow\n"


def test_there_is_no_turn_to_cancel_in_a_session_that_was_never_opened_or_has_ended(orchestrator, say):
    chat = orchestrator.session(streaming.chat, "ada")
    for ask in (chat.cancel_turn, chat.transcript, chat.close, lambda: next(chat.stream()), lambda: chat.status):
        with pytest.raises(RunNotFound, match="there is no session 'chat/ada': its first message opens it"):
            ask()
    chat.ask(say("hello"), 30)
    chat.close()
    assert chat.cancel_turn() is False


def test_an_orchestrator_that_is_killed_while_a_handler_cleans_up_is_followed_by_one_that_goes_on_with_it(
    home: Path, mark: str, say: Any, tmp_path: Path
):
    journal = tmp_path / "runs.db"
    script = tmp_path / "asker.py"
    script.write_text(
        "import sys\n"
        "from tests.acceptance.apps.sessions import streaming\n"
        "from tests.acceptance.harness import reached\n"
        "from pathlib import Path\n"
        "from greenroom import Orchestrator\n"
        "with Orchestrator(sys.argv[1]) as orchestrator:\n"
        "    session = orchestrator.session(streaming.slow_to_leave, 'ada')\n"
        "    session.tell(streaming.Say(text='brood', folder=sys.argv[2]), key='k')\n"
        "    reached(Path(sys.argv[2]), 'brood')\n"
        "    print(session.cancel_turn('enough'), flush=True)\n"
        "    reached(Path(sys.argv[2]), 'stand')\n"
        "    print('cleaning up', flush=True)\n"
        "    session.ask(streaming.Say(text='brood', folder=sys.argv[2]), key='k')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(journal), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as asker:
        assert asker.stdout is not None
        assert [next(asker.stdout), next(asker.stdout)] == ["True\n", "cleaning up\n"]
        asker.send_signal(signal.SIGKILL)
    (tmp_path / "brood.reached").unlink()
    (tmp_path / "stand").touch()
    with Orchestrator(journal, pools=harness.pools()) as orchestrator:
        session = orchestrator.session(streaming.slow_to_leave, "ada")
        with pytest.raises(TurnFailed, match="the turn was cancelled: enough"):
            session.ask(say("brood"), 60, key="k")
        assert not (tmp_path / "brood.reached").exists(), "the cancelled step did not run again"
        assert session.ask(say("next"), 60) == "said 1"
        assert_state_is_fold(orchestrator.get(session.id))


async def watch_and_cancel(tmp_path, say):
    async with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        chat = orchestrator.session(streaming.chat, "ada")
        asking = asyncio.create_task(chat.ask(say("brood"), 60))
        await asyncio.to_thread(reached, tmp_path, "brood")
        assert await chat.cancel_turn("no more")
        with pytest.raises(TurnFailed, match="no more"):
            await asking
        await chat.tell(say("next"))
        items = []
        async for item in chat.stream("text", follow=True):
            items.append(item)
            if item.kind == "final":
                break
        check_text(items, items[-1].value)
        assert [item.value async for item in chat.stream("news", after=0)][-1] != "thinking about brood"
        await chat.ask(say("last"), 60)
        assert not await chat.cancel_turn()


def test_the_same_from_asyncio(home, mark, tmp_path, say):
    asyncio.run(watch_and_cancel(tmp_path, say))


def test_the_command_line_follows_a_session_of_another_process_and_cancels_its_turn(home, mark, say, tmp_path):
    def greenroom(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "greenroom", "--home", str(place), "sessions", *arguments]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    place = tmp_path / "home of its own"
    with Orchestrator(home=place, pools=harness.pools()) as other:
        chat = other.session(streaming.chat, "ada")
        chat.ask(say("zeroth"), 60)
        with greenroom("stream", "chat", "ada", "--channel", "text", "--follow", "-o", "json") as following:
            assert following.stdout is not None
            while json.loads(following.stdout.readline())["kind"] != "final":
                pass
            chat.tell(say("first"))  # only now, as the command takes a while to start
            lines = [json.loads(following.stdout.readline())]
            assert chat.history()[1].status == "running"
            while lines[-1]["kind"] != "final":
                lines.append(json.loads(following.stdout.readline()))
            asked: list[BaseException] = []

            def ask() -> None:
                try:
                    chat.ask(say("brood"), 60)
                except TurnFailed as error:
                    asked.append(error)

            asking = threading.Thread(target=ask)
            asking.start()
            reached(tmp_path, "brood")
            with greenroom("cancel-turn", "chat", "ada", "--reason", "too long") as cancelling:
                assert cancelling.communicate()[0] == "session chat/ada cancels the turn of message 3\n"
            asking.join(30)
            assert "the turn was cancelled: too long" in str(asked[0])
            with greenroom("cancel-turn", "chat", "ada", "-o", "json") as cancelling:
                assert json.loads(cancelling.communicate()[0]) == {"session": "chat/ada", "message": None}
            chat.close()
            assert following.stdout.read() == ""
        assert following.returncode == 0
        pieces = [line["value"] for line in lines if line["kind"] == "partial"]
        assert "".join(pieces) == lines[-1]["value"]
        with greenroom("stream", "chat", "ada", "--channel", "news", "--after", "2") as reading:
            assert reading.communicate()[0] == '"answered first"\n"thinking about brood"\n'
