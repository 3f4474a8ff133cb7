"""Forks of runs: another input or result from some step on, and everything before it shared."""

from pathlib import Path

import pytest

from greenroom import IdConflict, InvalidInput, NotSerializable, Orchestrator, RunFailed
from greenroom.messages.commands import ForkRun
from tests.acceptance import harness
from tests.acceptance.apps.steering import retrying

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


def log(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines()


@pytest.fixture
def origin(orchestrator, tmp_path):
    run = orchestrator.start(retrying.survey, str(tmp_path), "otter", id="origin")
    run.result(30)
    return run


def test_a_fork_with_another_input_shares_what_was_before_and_does_the_rest_itself(origin, tmp_path, orchestrator):
    fork = origin.fork(at="look_up#1", input={"topic": "cat", "limit": 1})
    assert fork.id.startswith("origin-fork-")
    mine, theirs = origin.result(), fork.result(30)
    assert theirs == [mine[0], "CAT 0"], "what was drawn before the fork is shared"
    assert mine[1:] == ["OTTER 0", "OTTER 1", "OTTER 2"]
    first, second, third = log(tmp_path)
    assert (second.split()[1], third.split()[1]) == ("origin/effect#2", f"{fork.id}/effect#2")
    assert second.split()[0] != third.split()[0], "what is drawn later is the fork's own"
    assert first == f"{mine[0]} origin/effect#1"
    (figures,) = orchestrator.metrics().workflows
    assert {one.name: (one.count, one.attempts) for one in figures.steps} == {
        "effect": (3, 3),
        "look_up": (2, 2),
        "shorten": (4, 4),
    }


def test_a_fork_with_another_result_does_not_run_that_step(origin, orchestrator):
    fork = origin.fork(at="look_up#1", result=["given"], id="given")
    assert fork.id == "given"
    assert fork.result(30)[1:] == ["GIVEN"]
    assert [step.name for step in fork.steps() if not step.attempts] == ["look_up"]
    found = orchestrator.reads.difference("origin", "given")
    assert (found.what, found.key, found.b) == ("result", "look_up#1", ["given"])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"input": {"topic": "cat"}},
        {"at": "look_up#1"},
        {"at": "look_up#1", "input": {"topic": "cat", "limit": 1}},
        {"at": "look_up#1", "result": ["given"]},
    ],
    ids=str,
)
def test_the_same_fork_asked_for_again_with_its_id_is_that_run_and_no_other(origin, tmp_path, orchestrator, change):
    """As after an answer that was lost on its way."""
    if "input" in change and "at" not in change:
        change = {"input": {"folder": str(tmp_path), **change["input"]}}
    fork = origin.fork(**change, id="fork")
    assert origin.fork(**change, id="fork").id == fork.id
    fork.result(30)
    done = log(tmp_path)
    again = orchestrator.send(ForkRun(run_id="origin", id="fork", **change))
    assert (again.run_id, again.created) == ("fork", False)
    assert log(tmp_path) == done
    assert len(orchestrator.runs()) == 2
    for other in ({"at": "look_up#1", "result": ["other"]}, {"at": "effect#1"}, {"at": "look_up#1", "input": ["dog"]}):
        with pytest.raises(IdConflict, match="choose another id"):
            origin.fork(**other, id="fork")


@pytest.mark.parametrize(
    ("change", "made"), [({"result": ["given", "more"]}, 11), ({"input": {"topic": "cat", "limit": 2}}, 12)]
)
def test_a_fork_of_a_fork_shares_what_that_one_was_given_and_has_drawn(home, mark, tmp_path, change, made):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as first:
        origin = first.start(retrying.survey, str(tmp_path), "otter", id="origin")
        mine = origin.result(30)
        fork = origin.fork(at="look_up#1", id="fork", **change)
        _, one, two = fork.result(30)
        again = fork.fork(at="shorten#2", result="LAST", id="again")
        assert again.result(30) == [mine[0], one, "LAST"]
        assert again.fork(at="shorten#1", id="third").result(30) == [mine[0], one, two]
        assert len(log(tmp_path)) == 3, "what the first fork has drawn and done is shared"
        assert sum(each.count for each in first.metrics().workflows[0].steps) == made, "no shared step is counted twice"
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as second:
        assert second.get("again").fork(at="look_up#1", result=[]).result(30) == mine[:1]
        assert len(log(tmp_path)) == 4


def test_a_fork_from_the_start_has_other_arguments_and_shares_nothing(origin, tmp_path):
    fork = origin.fork(input={"folder": str(tmp_path), "topic": "cat"})
    assert fork.result(30)[1:] == ["CAT 0", "CAT 1", "CAT 2"]
    assert fork.result()[0] != origin.result()[0]
    assert len(log(tmp_path)) == 4


def test_a_run_that_failed_goes_on_as_a_fork_with_a_result_in_place_of_its_failure(orchestrator, tmp_path):
    run = orchestrator.start(retrying.order, str(tmp_path), id="order")
    with pytest.raises(RunFailed):
        run.result(30)
    fork = run.fork(at="shaky#1", result="by hand")
    assert fork.result(30) == "pay, by hand"
    assert fork.state.steps == ["paid", "shipped"]
    assert run.status == "failed"
    assert [line.split()[0] for line in log(tmp_path)].count("pay") == 1


def test_what_cannot_be_forked_so_is_refused_with_the_reason(origin, orchestrator):
    with pytest.raises(InvalidInput, match=r"did you mean 'look_up#1'"):
        origin.fork(at="lookup#1")
    with pytest.raises(InvalidInput, match="topic"):
        origin.fork(input={"folder": "x"})
    with pytest.raises(InvalidInput, match="by name"):
        origin.fork(input=["x"])
    with pytest.raises(InvalidInput, match="a run id is"):
        origin.fork(id="no/slash")
    with pytest.raises(NotSerializable):
        origin.fork(at="look_up#1", result=object())
    with pytest.raises(IdConflict, match="exists"):
        origin.fork(id="origin")
    assert orchestrator.send(ForkRun(run_id="nobody")).code == "not_found"
    assert len(orchestrator.runs()) == 1


def test_a_fork_goes_on_after_its_orchestrator_has_gone(home, mark, tmp_path):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as first:
        run = first.start(retrying.order, str(tmp_path), id="order")
        with pytest.raises(RunFailed):
            run.result(30)
        fork = run.fork(at="shaky#1", id="fork")
    (tmp_path / "ship").touch()
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as second:
        fork = second.get("fork")
        if fork.status == "failed":
            fork.retry()
        assert fork.result(30) == "pay, ship"
