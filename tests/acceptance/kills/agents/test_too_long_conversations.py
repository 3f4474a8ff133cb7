"""A conversation that a provider refuses as too long is made shorter, whatever is killed meanwhile."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom import Orchestrator, RunFailed
from greenroom.messages.events.events import RunCompleted
from greenroom.testing import assert_state_is_fold
from tests.acceptance.apps.agents import bounded
from tests.acceptance.harness import pools, query
from tests.acceptance.journal_prefixes import boundaries, history, write_prefix
from tests.actors.models.provider_server import LONG_CONTEXT, ProviderServer, call, chat, chunk, error, respond, stream
from tests.support import ROOT, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
KINDS = ("refusal", "summary", "second try")


class SmallModel:
    """A model that reads ``LIMIT`` characters. What it answers follows from what it reads."""

    def __init__(self, tool: str, limit: int = bounded.LIMIT) -> None:
        self.tool, self.limit = tool, limit
        self.asked: list[tuple[str, str]] = []
        """What was asked, as a kind and what identifies it."""
        self.hold: str | None = None
        """The kind of request to hold once, until ``go``."""
        self.held, self.go = threading.Event(), threading.Event()

    async def __call__(self, writer: asyncio.StreamWriter, request: Any) -> None:
        texts = [str(message.get("content") or "") for message in request.body["messages"]]
        read = "\n".join(texts)
        pages = [int(found) for found in re.findall(r"<page (\d+)>", read)]
        if len(read) > self.limit:
            kind, answer = "refusal", respond(400, error(LONG_CONTEXT, "context_length_exceeded"))
        elif texts[-1].startswith("Summarise"):
            kind, answer = "summary", chat(f"Done: {''.join(f'<page {number}>' for number in pages)}")
        else:
            kind = "second try" if "summarised it yourself" in read else "turn"
            answer = self.turn(texts, pages)
        self.asked.append((kind, f"{len(texts)} {pages} {len(read)}"))
        if kind == self.hold:
            self.hold = None
            self.held.set()
            await asyncio.to_thread(self.go.wait, 60)
        await answer(writer, request)

    def turn(self, texts: list[str], pages: list[int]) -> Any:
        if not self.tool:
            said = re.findall(r"I say (\w+)", "\n".join(texts))
            return chat(f"You have said {' '.join(said)}.")
        if self.tool == "page" and max(pages, default=0) < bounded.LAST:
            number = max(pages, default=0) + 1
            called = chunk(call("page", json.dumps({"number": number}), f"c{number}"))
            return stream(called, chunk(finish="tool_calls"), "[DONE]")
        if self.tool == "book" and not pages:
            return stream(chunk(call("book", "{}")), chunk(finish="tool_calls"), "[DONE]")
        return chat(f"I have read {sorted(set(pages))}.")

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.asked]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        yield server


@pytest.fixture
def model(server: ProviderServer) -> SmallModel:
    model = SmallModel("page")
    server.behaviours["small"] = model
    return model


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pages.txt"
    monkeypatch.setenv("PAGES_LOG", str(path))
    return path


def open_orchestrator(path: Path) -> Orchestrator:
    return Orchestrator(path, pools=pools(), env=("PAGES_LOG",))


ANSWER = f"I have read {list(range(1, bounded.LAST + 1))}."
STEPS = [
    ("model#1", "completed"),
    ("page[c1]#1", "completed"),
    ("model#2", "completed"),
    ("page[c2]#1", "completed"),
    ("model#3", "completed"),
    ("page[c3]#1", "completed"),
    ("model#4", "completed"),
    ("page[c4]#1", "completed"),
    ("model#5", "failed"),
    ("summary#1", "completed"),
    ("model#6", "completed"),
    ("page[c5]#1", "completed"),
    ("model#7", "completed"),
]


def test_a_task_that_reads_more_than_the_model_can_is_done_by_the_same_model(tmp_path, home, mark, model, log):
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        run = orchestrator.start(bounded.read)
        assert run.result(timeout=60) == ANSWER
        assert [(step.key.removeprefix("reader#1/"), step.status) for step in run.steps()] == STEPS
        assert [len(step.attempts) for step in run.steps()] == [1] * len(STEPS)
        whole = run.transcript("reader#1/model#5")
        assert [message.role for message in whole] == ["user", *["assistant", "tool"] * 4], "it has no answer"
        shorter = run.transcript()
        assert [message.role for message in shorter] == ["user", *["assistant", "tool"] * 3, "assistant"]
        assert "as you have summarised it yourself:\n\nDone: <page 1><page 2>" in shorter[0].text
        assert shorter[1:5] == whole[5:9], "the newest messages are as they were"
        assert_state_is_fold(run)
    assert model.kinds() == [*["turn"] * 4, "refusal", "summary", *["second try"] * 2]
    assert log.read_text().split() == ["1", "2", "3", "4", "5"], "no tool was called again"


def test_killed_after_any_event_the_answer_is_the_same_and_no_call_is_made_twice(tmp_path, home, mark, model, log):
    with open_orchestrator(tmp_path / "whole.db") as orchestrator:
        assert orchestrator.start(bounded.read, id="r").result(timeout=60) == ANSWER
    right = Counter(model.asked)
    assert set(right.values()) == {1}
    events = history(tmp_path / "whole.db", "r")
    assert isinstance(events[-1], RunCompleted)
    first = next(place for place, event in enumerate(events) if getattr(event, "key", "") == "reader#1/model#5")
    for length in (each for each in boundaries(events) if each >= first):
        model.asked.clear()
        log.unlink(missing_ok=True)
        ended = {event.key for event in events[:length] if event.type == "attempt.ended"}
        path = tmp_path / f"cut{length}.db"
        write_prefix(path, "r", events[:length])
        with open_orchestrator(path) as orchestrator:
            run = orchestrator.get("r")
            assert run.result(timeout=60) == ANSWER, f"after {length} events"
            steps = list(run.steps())
            assert [(step.key.removeprefix("reader#1/"), step.status) for step in steps] == STEPS
        calls = [step.key for step in steps if step.kind == "llm" and step.key not in ended]
        assert len(model.asked) == len(calls), f"after {length} events"
        assert Counter(model.asked) <= right, "what is asked is the same"
        path.unlink()


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_that_is_killed_meanwhile_goes_on_and_asks_nothing_again(tmp_path, home, mark, model, log, kind):
    model.hold = kind
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        run = orchestrator.start(bounded.read)
        assert model.held.wait(60)
        (program,) = (worker for worker in orchestrator.workers() if worker.kind == "program" and worker.run_id)
        os.kill(program.pid, signal.SIGKILL)
        eventually(lambda: _program_of(orchestrator) not in {None, program.pid}, 30, what="another program")
        model.go.set()
        assert run.result(timeout=60) == ANSWER
        assert [(step.key.removeprefix("reader#1/"), step.status) for step in run.steps()] == STEPS
        assert_state_is_fold(run)
    assert set(Counter(model.asked).values()) == {1}
    assert log.read_text().split() == ["1", "2", "3", "4", "5"]


def _program_of(orchestrator: Orchestrator) -> int | None:
    found = [worker.pid for worker in orchestrator.workers() if worker.kind == "program" and worker.run_id]
    return found[0] if found else None


@pytest.mark.parametrize("kind", KINDS)
def test_an_orchestrator_that_is_killed_meanwhile_repeats_only_the_call_under_way(
    tmp_path, home, mark, model, log, kind
):
    journal = tmp_path / "runs.db"
    script = tmp_path / "starter.py"
    script.write_text(
        "import sys\n"
        "from tests.acceptance.apps.agents import bounded\n"
        "from greenroom import Orchestrator\n"
        "with Orchestrator(sys.argv[1], env=('PAGES_LOG',)) as orchestrator:\n"
        "    orchestrator.start(bounded.read, id='r').result()\n"
    )
    model.hold = kind
    command = [sys.executable, str(script), str(journal)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}) as starter:
        try:
            assert model.held.wait(60)
        finally:
            starter.kill()
    model.go.set()
    ended = "SELECT count(*) FROM events WHERE run_id = 'r' AND type = 'attempt.ended'"
    assert query(journal, ended)[0][0] >= 8
    with open_orchestrator(journal) as orchestrator:
        run = orchestrator.get("r")
        assert run.result(timeout=60) == ANSWER
        assert [(step.key.removeprefix("reader#1/"), step.status) for step in run.steps()] == STEPS
        assert_state_is_fold(run)
    again = [asked for asked, count in Counter(model.asked).items() if count > 1]
    assert [asked[0] for asked in again] == [kind]
    assert max(Counter(model.asked).values()) == 2
    assert log.read_text().split() == ["1", "2", "3", "4", "5"]


def test_a_chat_goes_on_after_its_history_was_refused(tmp_path, home, mark, server):
    server.behaviours["small-chat"] = model = SmallModel("", 2500)
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        talk = orchestrator.session(bounded.listen, "ann")
        words = ["otter", "seal", "whale", "crab", "squid", "gull"]
        for word in words:
            answer = talk.ask(bounded.Say(text=f"I say {word}" + "." * 600), timeout=60)
            assert answer.endswith(f" {word}.")
        assert "refusal" in model.kinds()
        assert model.kinds().count("refusal") == model.kinds().count("summary")
        steps = [step.key for turn in talk.history() for step in turn.steps]
        assert any("/summary#1" in key for key in steps)
        assert_state_is_fold(orchestrator.get(talk.id))


def test_what_cannot_be_made_shorter_goes_to_the_fallback(tmp_path, home, mark, server):
    server.behaviours["small-book"] = SmallModel("book")
    server.behaviours["large-book"] = SmallModel("book", 10**6)
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        run = orchestrator.start(bounded.hand_over)
        assert run.result(timeout=60) == "I have read [1]."
        found = [(step.key.removeprefix("helped#1/"), step.status) for step in run.steps()]
    assert found == [
        ("model#1", "completed"),
        ("book[call_1]#1", "completed"),
        ("model#2", "failed"),
        ("summary#1", "completed"),
        ("model#3", "completed"),
    ]
    assert server.counts() == {"small-book": 2, "large-book": 1}, "for a part that is not worth it nothing is asked"


def test_without_a_fallback_the_failure_says_what_to_do(tmp_path, home, mark, server):
    server.behaviours["small-book"] = SmallModel("book")
    with open_orchestrator(tmp_path / "runs.db") as orchestrator:
        run = orchestrator.start(bounded.give_up)
        with pytest.raises(RunFailed, match="shorten it, or use a model that reads more") as caught:
            run.result(timeout=60)
        assert caught.value.step == "hopeless#1/model#2"
        assert caught.value.cause is not None
        (note,) = caught.value.cause.__notes__
        assert note.startswith("agent `hopeless` cannot make the conversation shorter")
        said = orchestrator.start(bounded.catch).result(timeout=60)
    assert said.startswith("caught: step hopeless#1/model#2 failed after 1 attempt: ContextTooLong: ")
