"""``greenroom eval``: cases through a workflow in real processes, what is counted, and what is refused before."""

import csv
import json
import signal

import pytest

from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

FLOW = """
import asyncio
import os
import time
from pathlib import Path

from pydantic import BaseModel, Field

from greenroom import LLM, Judge, MockModel, ModelReply, ModelRequest, Panel, Retry, Rule, evaluator, sleep, tool, workflow

ONCE = Retry(attempts=1)


@tool(retry=ONCE)
def greet(name: str) -> str:
    return f"hello {name}"


@tool(retry=ONCE, crash_attempts=1)
def crash() -> str:
    os._exit(3)


@tool(retry=ONCE)
def refuse(name: str) -> str:
    raise ValueError(name)


@tool(retry=ONCE)
def count(file: str) -> int:
    with Path(file).open("a") as lines:
        lines.write("x")
    return Path(file).stat().st_size


@tool(retry=ONCE)
def wait_for(file: str) -> bool:
    Path(f"{file}.awaited").touch()
    while not Path(file).exists():
        time.sleep(0.01)
    return True


down = LLM("down", retry=ONCE, model=MockModel(latency=0.0, replies=[ConnectionResetError("provider down")]))


@workflow
async def hello(name: str, how: str = "", file: str = "") -> str:
    if how == "crash":
        return await crash()
    if how == "raise":
        return await refuse(name)
    if how == "model":
        return await down(name)
    if how == "slow":
        await sleep(3600)
    if how == "count":
        return f"hello {name}" if await count(file) > 1 else "go away"
    if how == "gate":
        await count(file)
        await wait_for(file + ".open")
    return await greet(name)


@workflow
async def other(name: str) -> str:
    return name


cheap = LLM("cheap", model=MockModel(latency=0.0, replies=["hello"], price=(1.0, 1.0)))


class Unpriced:
    async def complete(self, request: ModelRequest) -> ModelReply:
        return ModelReply("hello", input_tokens=10, output_tokens=1)


unpriced = LLM("unpriced", model=Unpriced())


@workflow
async def part(name: str, how: str) -> str:
    said = await cheap(name)
    if how == "raise":
        await refuse(name)
    if how == "slow":
        await sleep(3600)
    return said


@workflow
async def whole(name: str, how: str = "") -> str:
    await unpriced(name)
    return await part(name, how)


@evaluator
def polite(text: str, call: dict[str, object]) -> float:
    return 1.0 if "hello" in text and call["kwargs"] else 0.0


@evaluator
def broken(text: str) -> float:
    raise ZeroDivisionError("broken")


def rater(*replies: object) -> MockModel:
    return MockModel(latency=0.0, replies=list(replies))


tone = Judge("tone", rubric="It is kind.", model=rater({"reason": "kind", "score": 0.8}))
garbled = Judge("garbled", rubric="It is kind.", model=rater("never JSON"), retry=ONCE)
exact = Rule.equals()
calls = Rule.calls("greet", most=1)
panel = Panel("panel", [tone, polite])


class Greeting(BaseModel):
    words: str = Field(alias="Words")


@workflow
async def greeting(name: str) -> Greeting:
    return Greeting(Words=f"hello {name}")


@evaluator
def warm(given: Greeting) -> float:
    return 1.0 if "hello" in given.words else 0.0


@evaluator
def long(given: Greeting) -> float:
    return 1.0 if len(given.words) > 100 else 0.0


@evaluator
def misfit(number: int) -> float:
    return 1.0


@evaluator
def asks_too_much(given: Greeting, call: int) -> float:
    return 1.0


most = Panel("most", [warm, tone, long], combine="majority")
partly = Panel("partly", [warm, tone, misfit])
"""


@pytest.fixture
def flow(greenroom):
    (greenroom.folder / "flow.py").write_text(FLOW)
    return greenroom


def cases(flow, *given, name="cases.jsonl"):
    (flow.folder / name).write_text("".join(f"{json.dumps(each)}\n" for each in given))
    return ("--cases", name)


def case(name, expected=None, **more):
    found = {"id": name, "inputs": {"name": name, **more}}
    return found if expected is None else {**found, "expected": expected}


def outcomes(report):
    return {(trial["case"], trial["repeat"]): trial["outcome"] for trial in report["trials"]}


def test_cases_run_and_are_rated_by_evaluators_of_every_kind(flow):
    given = cases(flow, case("ada", "hello ada"), case("bob", "hello bert"))
    judges = [each for name in ("tone", "flow.py:exact", "polite", "calls", "panel") for each in ("--judge", name)]
    report = flow.result_of(
        "eval", "flow.py:hello", *given, "--repeat", "2", *judges, "-o", "json", "--csv", "out.csv", "--json", "r.json"
    )
    assert outcomes(report) == {("ada", 1): "passed", ("ada", 2): "passed", ("bob", 1): "failed", ("bob", 2): "failed"}
    assert report["pass_rate"] == 0.5
    assert (report["low"], report["high"]) == pytest.approx((0.15, 0.85), abs=1e-2)
    means = {each["name"]: each["mean"] for each in report["evaluators"]}
    assert means == pytest.approx(
        {"tone": 0.8, "equals expected": 0.5, "polite": 1.0, "calls greet": 1.0, "panel": 0.9}
    )
    assert report["agreement"]["nominal"] is not None
    assert report["usage"]["output_tokens"] > 0
    assert report == json.loads((flow.folder / "r.json").read_text())
    rows = list(csv.DictReader((flow.folder / "out.csv").read_text().splitlines()))
    assert [(row["case"], row["outcome"], row["tone"]) for row in rows] == [
        *[("ada", "passed", "0.8")] * 2,
        *[("bob", "failed", "0.8")] * 2,
    ]
    assert rows[2]["reason"] == "equals expected 0.00: it is hello bob, not hello bert"
    runs = flow.result_of("runs", "list", "-o", "json")
    assert {run["id"] for run in runs if run["workflow"] == "hello"} == {t["run_id"] for t in report["trials"]}


def test_what_a_trial_has_used_is_counted_with_its_children_however_it_ended_and_what_has_no_price_is_not_free(flow):
    given = cases(flow, case("well"), case("badly", how="raise"), case("late", how="slow"))
    report = flow.result_of("eval", "flow.py:whole", *given, "--timeout", "3", "-o", "json", "--csv", "out.csv")
    assert set(outcomes(report).values()) == {"passed", "failed", "unscored"}
    rows = {row["case"]: row for row in csv.DictReader((flow.folder / "out.csv").read_text().splitlines())}
    for trial in report["trials"]:
        own = flow.result_of("runs", "show", trial["run_id"], "-o", "json")
        child = flow.result_of("runs", "show", f"{trial['run_id']}~1", "-o", "json")
        calls = [each for run in (own, child) for step in run["steps"] for each in step["attempts"] if each["usage"]]
        assert len(calls) == 2
        assert trial["usage"]["input_tokens"] == sum(each["usage"]["input_tokens"] for each in calls) > 0
        assert 0 < trial["usage"]["usd"] == calls[1]["usage"]["usd"]
        assert trial["usage"]["unpriced"] == 1
        row = rows[trial["case"]]
        assert (float(row["usd"]), row["unpriced"]) == (trial["usage"]["usd"], "1")
    shown = flow("eval", "flow.py:whole", *cases(flow, case("well")))
    assert "and 1 call of unknown price" in shown.out


def test_what_infrastructure_and_evaluators_did_is_in_no_rate(flow):
    given = cases(
        flow,
        case("fine", "hello fine"),
        case("crash", "x", how="crash"),
        case("model", "x", how="model"),
        case("slow", "x", how="slow"),
        case("own fault", "x", how="raise"),
    )
    report = flow.result_of("eval", "flow.py:hello", *given, "-o", "json", "--timeout", "3", "-j", "8")
    assert outcomes(report) == {
        ("fine", 1): "passed",
        ("crash", 1): "unscored",
        ("model", 1): "unscored",
        ("slow", 1): "unscored",
        ("own fault", 1): "failed",
    }
    assert (report["scored"], report["unscored"], report["pass_rate"]) == (2, 3, 0.5)
    reasons = {trial["case"]: trial["reason"] for trial in report["trials"]}
    assert "provider down" in reasons["model"]
    slow = next(trial["run_id"] for trial in report["trials"] if trial["case"] == "slow")
    assert flow.result_of("runs", "show", slow, "-o", "json")["status"] == "cancelled"


@pytest.mark.parametrize(("judge", "why"), [("garbled", "not JSON"), ("broken", "ZeroDivisionError")])
def test_an_evaluator_that_fails_leaves_the_trial_unscored(flow, judge, why):
    given = cases(flow, case("ada"))
    report = flow.result_of(
        "eval", "flow.py:hello", *given, "--judge", judge, "--judge", "polite", "-o", "json", code=1
    )
    assert outcomes(report) == {("ada", 1): "unscored"}
    assert why in report["trials"][0]["reason"]
    assert [(each["name"], each["failures"]) for each in report["evaluators"]] == [(judge, 1), ("polite", 0)]


def test_functions_in_panels_get_results_as_those_outside_do_and_a_majority_needs_more_than_half(flow):
    judges = [each for name in ("warm", "most", "partly") for each in ("--judge", name)]
    report = flow.result_of("eval", "flow.py:greeting", *cases(flow, case("ada")), *judges, "-o", "json")
    assert outcomes(report) == {("ada", 1): "passed"}
    means = {each["name"]: each["mean"] for each in report["evaluators"]}
    assert means == pytest.approx({"warm": 1.0, "most": 2 / 3, "partly": 0.9})


@pytest.mark.parametrize(("judge", "parameter"), [("misfit", "number"), ("asks_too_much", "call")])
def test_an_evaluator_whose_parameters_do_not_fit_fails_alone(flow, judge, parameter):
    given = cases(flow, case("ada"))
    report = flow.result_of(
        "eval", "flow.py:greeting", *given, "--judge", judge, "--judge", "warm", "-o", "json", code=1
    )
    assert f"argument `{parameter}` of evaluator `{judge}` does not fit int" in report["trials"][0]["reason"]
    found = [(each["name"], each["scored"], each["failures"]) for each in report["evaluators"]]
    assert found == [(judge, 0, 1), ("warm", 1, 0)]


def test_flaky_cases_are_marked_and_the_threshold_decides_the_exit_code(flow):
    file = str(flow.folder / "counted")
    given = cases(flow, case("ada", "hello ada"), case("bob", "hello bob", how="count", file=file))
    answer = flow("eval", "flow.py:hello", *given, "--repeat", "2", "-j", "1", "--threshold", "0.9", "-q", code=1)
    assert "flaky cases  bob" in answer.out
    assert "3 of 4: 75.0% (95 % interval 30.1% to 95.4%)" in answer.out
    (flow.folder / "counted").unlink()
    flow("eval", "flow.py:hello", *given, "--repeat", "2", "-j", "1", "--threshold", "0.7", "-q", "--id", "again")


def test_two_versions_are_compared_on_the_same_cases(flow):
    good, bad = (case("ada", "hello ada"), case("bob", "hello bob")), (case("ada", "x"), case("bob", "x"))
    flow("eval", "flow.py:hello", *cases(flow, *bad), "--json", "before.json", "--id", "before", "-q")
    given = cases(flow, *good, name="good.jsonl")
    report = flow.result_of("eval", "flow.py:hello", *given, "--compare", "before.json", "-o", "json")
    found = report["comparison"]
    assert (found["earlier"], found["cases"], found["gained"], found["lost"]) == ("before", 2, ["ada", "bob"], [])
    assert (found["difference"], found["p_value"]) == (1.0, 0.5)


def test_past_runs_are_scored_again_without_running(flow):
    for name in ("ada", "bob"):
        flow("run", "flow.py:hello", "-i", f"name={name}", "--id", name)
    report = flow.result_of("eval", "flow.py:hello", "--runs", "all", "--judge", "tone", "-o", "json")
    assert sorted(outcomes(report)) == [("ada", 1), ("bob", 1)]
    assert {run["workflow"] for run in flow.result_of("runs", "list", "-o", "json")} == {
        "hello",
        "greenroom.check_cases",
        "greenroom.evaluate",
    }
    one = flow.result_of("eval", "flow.py:hello", "--runs", "ada", "--judge", "calls", "-o", "json")
    assert one["pass_rate"] == 1.0
    assert "of workflow 'hello', not of 'other'" in flow("eval", "flow.py:other", "--runs", "ada", code=2).err
    flow("eval", "flow.py:hello", "--runs", "nobody", code=3)
    assert "no run" in flow("eval", "flow.py:hello", "--runs", "all", "--sample", "0", code=2).err


def test_an_evaluation_that_was_killed_goes_on_under_its_id_and_runs_nothing_twice(flow):
    file = flow.folder / "counted"
    given = cases(flow, case("ada", "hello ada", how="gate", file=str(file)))
    process = flow.start("eval", "flow.py:hello", *given, "--id", "e1", "-o", "json")
    eventually(file.with_name("counted.open.awaited").exists, 30, what="the second step")
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    file.with_name("counted.open").touch()
    report = flow.result_of("eval", "flow.py:hello", *given, "--id", "e1", "-o", "json")
    assert outcomes(report) == {("ada", 1): "passed"}
    assert file.read_text() == "x", "the first step was not repeated"


def test_the_orchestrator_that_lives_on_the_home_runs_the_cases(flow):
    file = flow.folder / "busy"
    flow("run", "flow.py:hello", "-i", "name=x", "-i", "how=gate", "-i", f"file={file}", "--detach")
    eventually(file.exists, 30)
    pid = flow.host().pid
    report = flow.result_of(
        "eval", "flow.py:hello", *cases(flow, case("ada", "hello ada")), "--judge", "tone", "-o", "json"
    )
    assert report["pass_rate"] == 1.0
    assert flow.host().pid == pid
    file.with_name("busy.open").touch()


def test_an_interrupt_ends_the_wait_for_the_runs_of_another_process(flow):
    busy, file = flow.folder / "busy", flow.folder / "gated"
    flow("run", "flow.py:hello", "-i", "name=x", "-i", "how=gate", "-i", f"file={busy}", "--detach")
    eventually(busy.exists, 30)
    given = cases(flow, case("ada", "hello ada", how="gate", file=str(file)))
    process = flow.start("eval", "flow.py:hello", *given, "--id", "e1")
    eventually(file.exists, 30)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "the same command with --id e1" in err
    for each in (busy, file):
        each.with_name(f"{each.name}.open").touch()
    assert flow.result_of("runs", "result", "e1-1-1", "-o", "json") == "hello ada"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["nope"], "line 1: it is not JSON"),
        (["[" * 100_000], "line 1: it is nested too deep"),
        (["[1]"], "line 1: it is not a JSON object"),
        (["", '{"inputs": {"name": "x"}, "expect": 1}'], "line 2: it has the unknown field 'expect'"),
        (['{"expected": 1}'], "line 1: its inputs have to be a JSON object"),
        (['{"inputs": {}, "id": 3}'], "line 1: its id has to be a text"),
        (['{"id": "a", "inputs": {"name": "x"}}'] * 2, "line 2: the id 'a' is that of line 1 too"),
        (['{"inputs": {"name": 3}}'], "line 1: the inputs do not fit workflow hello: name: Input should be a valid"),
        (
            ['{"inputs": {"name": "x"}}', '{"inputs": {}}'],
            "line 2: the inputs do not fit workflow hello: name: is missing",
        ),
        ([], "holds no cases"),
    ],
)
def test_cases_that_cannot_be_are_told_with_their_lines_before_anything_starts(flow, lines, said):
    (flow.folder / "cases.jsonl").write_text("\n".join(lines))
    answer = flow("eval", "flow.py:hello", "--cases", "cases.jsonl", code=2)
    assert said in answer.err
    if (flow.home / "journal.db").exists():
        assert not [r for r in flow.result_of("runs", "list", "-o", "json") if r["workflow"] == "hello"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("flow.py:hello",), "either --cases FILE or --runs ID"),
        (("flow.py:helo", "--cases", "cases.jsonl"), "did you mean `hello`?"),
        (("flow.py:hello", "--cases", "none.jsonl"), "cannot be read"),
        (("flow.py:hello", "--cases", "cases.jsonl", "--judge", "tune"), "no evaluator `tune`; did you mean `tone`?"),
        (("flow.py:hello", "--cases", "cases.jsonl", "--judge", "greet"), "no evaluator `greet`"),
        (("flow.py:hello", "--cases", "cases.jsonl", "--judge", "no.py:tone"), "there is no file 'no.py'"),
        (("flow.py:hello", "--cases", "cases.jsonl", "--compare", "flow.py"), "is not a report"),
        (("flow.py:hello", "--cases", "cases.jsonl", "--json", "no/where.json"), "cannot be written"),
        (("flow.py:hello", "--cases", "cases.jsonl", "--threshold", "2"), "--threshold"),
        (("flow.py:hello", "--cases", "cases.jsonl", "--id", "a b"), "--id"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_starts(flow, arguments, said):
    cases(flow, case("ada"))
    assert said in flow("eval", *arguments, code=2).err
