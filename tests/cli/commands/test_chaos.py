"""Chaos by command: real processes die while workflows run, and what is said about it afterwards is true."""

import signal
import subprocess
from itertools import islice
from pathlib import Path
from typing import get_args

import psutil
import pytest

from greenroom.cli.commands.chaos.faults import FaultKind, faults
from greenroom.cli.commands.chaos.invariants import miscounted
from greenroom.cli.commands.chaos.orchestrator_process import still_there
from greenroom.messages.core.failures import Outcome
from greenroom.messages.records.attempts import AttemptRecord
from greenroom.supervision.zygote import fork_server
from tests.cli.conftest import CommandLine
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
APP = """
import asyncio
import os
import time

from pydantic import BaseModel

from greenroom import LLM, current, random, run, session, sleep, tool, workflow

write = LLM("write")


class Total(BaseModel):
    value: int = 0


class Add(BaseModel):
    by: int


@tool
def square(number: int) -> int:
    time.sleep(0.03)
    return number * number


@workflow
async def part(number: int) -> int:
    await sleep(0.02)
    return await square(number)


@workflow
async def tangle(width: int = 3) -> str:
    squares = await asyncio.gather(*(square(number) for number in range(width)), part(7))
    return f"{await write('otters')} {sum(squares)}"


@workflow
async def chancy() -> int:
    if os.urandom(1)[0] % 2:
        return await square(1)
    return await part(1)


@workflow
async def drawn() -> float:
    return random()


@tool
def keys() -> list[str | None]:
    return [os.environ.get("THEIR_API_KEY"), os.environ.get("GIVEN_API_KEY")]


@workflow
async def keyed() -> list[str | None]:
    return await keys()


@tool
def attempt() -> int:
    time.sleep(0.15)
    return current().attempt


@workflow
async def leaves_another_state(state: Total) -> str:
    state.value = await attempt()
    return "the same"


@tool(once=True)
def once(number: int) -> int:
    time.sleep(0.15)
    return number


@workflow
async def child() -> int:
    return await once(1)


@workflow
async def hides_a_child() -> str:
    try:
        await run(child)
    except Exception:
        pass
    return "the same"


@session(state=Total)
async def account(state: Total, message: Add) -> None:
    state.value += await once(message.by)


@workflow
async def loses_messages() -> str:
    await account.tell("ada", Add(by=1))
    await sleep(0.2)
    return "the same"


@workflow
async def failing() -> None:
    raise ValueError("no luck")
"""


@pytest.fixture
def app(greenroom: CommandLine) -> CommandLine:
    (greenroom.folder / "chaotic.py").write_text(APP)
    return greenroom


@pytest.mark.parametrize(
    ("kinds", "every"), [("kill,orchestrator", "0.2"), ("hang", "0.2"), ("zygote", "1"), ("keeper", "1")]
)
def test_whatever_is_killed_all_runs_end_as_they_do_without_faults(app: CommandLine, kinds: str, every: str) -> None:
    given = ("--faults", kinds, "--seed", "558", "--duration", "5", "--every", every, "-o", "json")
    report = app.result_of("chaos", "run", "chaotic.py:tangle", "-i", "width=4", *given, timeout=120)
    assert all(invariant["broken"] == [] for invariant in report["invariants"]), report
    assert set(report["faults"]) == set(kinds.split(","))
    assert report["runs"] >= 8
    assert report["attempts"]["ok"] >= 6 * (report["runs"] + 2)
    assert report["home"] is None
    assert list((app.home / "chaos").iterdir()) == [], "nothing is kept if all is well"


def test_code_that_asks_for_something_else_when_it_runs_again_is_found(app: CommandLine) -> None:
    told = app(
        "chaos", "run", "chaotic.py:chancy", "--seed", "1", "--duration", "4", "--every", "0.2", code=1, timeout=120
    ).out
    assert "✖ the code, run again, asks for what the runs asked for" in told or "✖ every run ends" in told
    assert "✔ the journal is whole" in told
    home = Path(told.splitlines()[-1].rpartition(" ")[2])
    assert (home / "journal.db").is_file()
    assert app("--home", str(home), "runs", "list", "--limit", "1").out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("leaves_another_state", "leaves another state than chaotic.py:leaves_another_state leaves without faults"),
        ("hides_a_child", "~1 is failed: OutcomeUnknown"),
        ("loses_messages", "to session account/ada failed: OutcomeUnknown"),
    ],
)
def test_what_faults_change_is_found_where_the_result_is_the_same(app: CommandLine, name: str, words: str) -> None:
    given = ("--faults", "kill", "--seed", "1", "--duration", "4", "--every", "0.2", "--at-once", "2", "-o", "json")
    told = app.result_of("chaos", "run", f"chaotic.py:{name}", *given, code=1, timeout=120)
    broken = [sentence for invariant in told["invariants"] for sentence in invariant["broken"]]
    assert broken
    assert all(words in sentence for sentence in broken), broken


def test_results_that_differ_by_themselves_are_not_compared(app: CommandLine) -> None:
    told = app(
        "chaos", "run", "chaotic.py:drawn", "--faults", "kill", "--duration", "1", "--every", "0.3", "--keep"
    ).out
    assert "its results differ, so they are not compared" in told
    assert "the journal and the logs are in" in told


def test_what_looks_like_a_secret_reaches_the_app_only_by_name(
    app: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEIR_API_KEY", "word-of-theirs")
    given = ("--env", "GIVEN_API_KEY=word-that-was-given", "--env", "THEIR_API_KEY")
    short = ("--faults", "kill,orchestrator", "--duration", "1", "--every", "0.3", "--keep")
    for more, expected in (((), [None, None]), (given, ["word-of-theirs", "word-that-was-given"])):
        told = app("chaos", "run", "chaotic.py:keyed", *short, *more, timeout=120).out
        home = told.splitlines()[-1].rpartition(" ")[2]
        assert app.result_of("--home", home, "runs", "result", "rehearsal-1-1") == expected
        assert "word-that" not in (Path(home) / "log.jsonl").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "Missing argument"),
        (("chaotic.py",), 2, "names no workflow"),
        (("chaotic.py:tangel",), 3, "did you mean 'tangle'"),
        (("app.py:total",), 2, "a: is missing"),
        (("chaotic.py:tangle", "app.py:total", "-i", "a=1"), 2, "a: is not a parameter"),
        (("chaotic.py:failing",), 1, "does not complete without faults either: run rehearsal-1-1 is failed"),
        (("app.py:taught", "--settle", "1"), 1, "a workload has to end by itself"),
        (("chaotic.py:tangle", "--faults", "kill,flood"), 2, "there is no fault 'flood'; there are: kill, hang"),
        (("chaotic.py:tangle", "--faults", ""), 2, "there is no fault ''"),
        (("chaotic.py:tangle", "--duration", "0.1", "--every", "9"), 1, "no fault came within 0.1 s"),
        (("chaotic.py:tangle", "--duration", "0"), 2, "--duration"),
    ],
    ids=str,
)
def test_what_is_no_workload_is_refused_with_the_reason(
    app: CommandLine, arguments: tuple[str, ...], code: int, words: str
) -> None:
    assert words in app("chaos", "run", *arguments, code=code).err
    if code != 1:
        assert not list(app.home.glob("chaos/*")), "nothing was run, so nothing is kept"


def test_an_interrupted_chaos_leaves_no_process(app: CommandLine) -> None:
    process = app.start("chaos", "run", "chaotic.py:tangle", "--duration", "60", "--every", "0.2")
    assert process.stdout is not None
    while "kill -" not in process.stdout.readline():
        assert process.poll() is None
    family = psutil.Process(process.pid)
    eventually(lambda: any(one.name() == fork_server.NAME for one in family.children(recursive=True)), 10)
    below = family.children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert still_there(below, 5) == []


def test_a_process_that_nobody_reaps_has_ended() -> None:
    with subprocess.Popen(["sh", "-c", "true & exec sleep 60"]) as parent:
        living = psutil.Process(parent.pid)
        (dead,) = eventually(lambda: [one for one in living.children() if one.status() == psutil.STATUS_ZOMBIE], 10)
        assert still_there([living, dead], 0.1) == [living]
        parent.kill()
        assert still_there([living, dead], 10) == []


def test_a_seed_gives_the_same_faults_of_the_chosen_kinds() -> None:
    drawn = list(islice(faults(7, KINDS, 0.4), 500))
    assert drawn == list(islice(faults(7, tuple(reversed(KINDS)), 0.4), 500))
    assert drawn != list(islice(faults(8, KINDS, 0.4), 500))
    assert {fault.kind for fault in drawn} == set(KINDS)
    assert all(0.2 <= fault.pause <= 0.6 and 0 <= fault.choice < 1 for fault in drawn)
    assert {fault.kind for fault in islice(faults(7, ("hang", "zygote"), 1.0), 100)} == {"hang", "zygote"}


def attempt(number: int, outcome: Outcome | None) -> AttemptRecord:
    return AttemptRecord.model_construct(number=number, outcome=outcome)


@pytest.mark.parametrize(
    ("attempts", "wrong"),
    [
        ([], []),
        ([attempt(1, "crash"), attempt(2, "ok")], []),
        ([attempt(1, "crash"), attempt(3, "ok")], ["its attempts are numbered [1, 3]"]),
        ([attempt(1, "crash"), attempt(1, "ok")], ["its attempts are numbered [1, 1]"]),
        ([attempt(1, None), attempt(2, "ok")], ["attempt 1 has no outcome"]),
        ([attempt(1, "ok"), attempt(2, "ok")], ["attempts [1, 2] have succeeded, and one is enough"]),
    ],
)
def test_attempts_that_are_miscounted_are_told(attempts: list[AttemptRecord], wrong: list[str]) -> None:
    assert list(miscounted(tuple(attempts))) == wrong
