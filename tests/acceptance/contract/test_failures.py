"""Where did my code fail? Every failure leads to the author's line, and is caught by the author's class."""

import re
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from greenroom import Orchestrator, RunFailed, StepFailed, TurnFailed
from tests.acceptance.apps.contract import failing
from tests.support import ROOT, eventually

APP = Path(failing.__file__)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def line(comment: str) -> int:
    """Give the number of the line with a comment."""
    return next(number for number, text in enumerate(APP.read_text().splitlines(), 1) if f"# {comment}" in text)


def frame(comment: str) -> str:
    return f'File "{APP}", line {line(comment)}, in '


def failure_of(orchestrator: Orchestrator, workflow, *arguments) -> RunFailed:
    with pytest.raises(RunFailed) as caught:
        orchestrator.start(workflow, *arguments).result(timeout=60)
    return caught.value


def printed(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


# ---------------------------------------------------------------- the handle


def test_the_workflows_own_error_is_printed_with_its_line_which_is_at_the_bottom_too(orchestrator):
    error = failure_of(orchestrator, failing.own)
    text = printed(error)
    assert f"{frame('the workflow')}own\n    return" in text
    assert text.rstrip().splitlines()[-2].strip() == f"{frame('the workflow')}own"
    assert f"({APP}:{line('the workflow')})" in str(error)
    assert isinstance(error.cause, KeyError)
    assert error.cause.args == ("blue",)
    assert (error.step, error.attempts) == (None, [])


def test_frames_of_this_package_are_few_where_it_is_raised(orchestrator):
    files = [each.filename for each in traceback.extract_tb(failure_of(orchestrator, failing.own).__traceback__)]
    assert files[0] == __file__
    assert len(files) == 2
    text = str(failure_of(orchestrator, failing.grouped).__cause__)
    assert set(re.findall(r'File "(.*?)"', text)) == {str(APP)}


def test_a_failed_step_shows_the_tools_line_and_the_await(orchestrator):
    error = failure_of(orchestrator, failing.step, "value")
    text = printed(error)
    assert f"{frame('the tool')}fail" in text
    assert f"{frame('the workflow' + chr(39) + 's await')}step" in text
    assert "ValueError: bad" in text
    assert (error.step, len(error.attempts)) == ("fail#1", 2)
    assert f"{frame('the tool')}fail" in error.attempts[-1].traceback
    assert error.attempts[-1].place == f"{APP}:{line('the tool')}"
    assert isinstance(error.cause, ValueError)
    assert isinstance(error.cause, StepFailed)
    assert error.cause.step == "fail#1"


def test_causes_and_notes_are_shown(orchestrator):
    text = printed(failure_of(orchestrator, failing.linked))
    inner, outer = (text.index(frame(which)) for which in ("the inner", "the outer"))
    assert inner < outer
    assert "only red is known" in text[inner:outer]
    assert "direct cause" in text[inner:outer]


def test_a_process_that_died_of_its_code_leads_to_the_line(orchestrator):
    error = failure_of(orchestrator, failing.crashing)
    assert error.attempts[-1].place == f"{APP}:{line('the crashing')}"
    assert f'File "{APP}", line {line("the crashing")}' in str(error.__cause__)
    assert "/actors/" not in str(error.__cause__)
    assert "Segmentation fault" in str(error.__cause__)
    assert error.cause.cause is None


def test_the_place_is_the_authors_where_a_library_raised(orchestrator):
    error = failure_of(orchestrator, failing.reads)
    assert f"({APP}:{line('the reading')})" in str(error)
    assert "json/decoder.py" in str(error.__cause__)
    assert printed(error).rstrip().splitlines()[-2].strip() == f"{frame('the reading')}reads"


def test_deep_recursion_is_folded(orchestrator):
    text = printed(failure_of(orchestrator, failing.deep))
    assert "[Previous line repeated 4" in text
    assert frame("the bottom") in text


@pytest.mark.parametrize("how", [failing.grouped, failing.nested])
def test_a_group_names_the_step_that_failed_and_shows_its_members(orchestrator, how):
    error = failure_of(orchestrator, how)
    assert error.step == "2/fail#1"
    assert len(error.attempts) == 2
    assert "step 2/fail#1" in str(error)
    assert frame("the tool") in str(error.__cause__)


@pytest.mark.parametrize("how", [failing.chained, failing.later])
def test_what_is_raised_from_a_failed_step_or_later_names_it(orchestrator, how):
    error = failure_of(orchestrator, how)
    assert (error.step, len(error.attempts)) == ("fail#1", 2)
    assert "fail#1" in str(error)
    assert frame("the tool") in str(error.__cause__)


@pytest.mark.parametrize("how", [failing.parent, failing.grandparent])
def test_the_step_of_a_child_is_named_however_deep_it_is(orchestrator, how):
    error = failure_of(orchestrator, how)
    assert (error.step, [each.outcome for each in error.attempts]) == ("fail#1", ["error", "error"])
    assert frame("the tool") in printed(error)
    assert isinstance(error.cause, failing.Quota)
    assert error.cause.limit == 3


def test_the_dead_letter_of_a_session_and_who_asked_see_the_line(orchestrator):
    with pytest.raises(TurnFailed) as caught:
        orchestrator.session(failing.handler, "one").ask(failing.Go(word="quota"), 60)
    text = printed(caught.value)
    assert f"{frame('the tool')}fail" in text
    assert text.rstrip().splitlines()[-2].strip() == f"{frame('the tool')}fail"
    assert (caught.value.step, type(caught.value.cause.cause)) == ("1/fail#1", failing.Quota)
    (letter,) = orchestrator.reads.dead_letters()
    assert letter.failure.place == f"{APP}:{line('the tool')}"
    assert frame("the tool") in letter.failure.report()
    (turn,) = orchestrator.reads.history("handler/one")
    assert turn.failure == letter.failure


def test_the_record_of_a_run_has_its_traceback(orchestrator):
    run = orchestrator.start(failing.own)
    with pytest.raises(RunFailed):
        run.result(timeout=60)
    assert frame("the workflow") in run.record.failure.report()
    assert run.record.reason == f"KeyError: 'blue' ({APP}:{line('the workflow')})"


# ---------------------------------------------------------------- the author's classes


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("quota", ["Quota", 3, "ada", "fail#1", 2, "Quota"]),
        ("refused", ["Refused", 404]),
        ("derived", ["Base", "step fail#1 failed after 2 attempts: Derived: from below"]),
        ("key", ["KeyError", "colour", "step fail#1 failed after 2 attempts: KeyError: 'colour'"]),
        ("file", ["FileNotFoundError", 2, "paper"]),
        ("unicode", ["UnicodeError", None]),
        ("stop", ["StepFailed", "StopIteration", "4"]),
        ("group", ["StepFailed", "ExceptionGroup", None]),
    ],
)
def test_a_failed_step_is_caught_by_its_class(orchestrator, kind, found):
    result = orchestrator.start(failing.catches, kind).result(timeout=60)
    assert result == [each if each is not None else result[place] for place, each in enumerate(found)]
    assert len(result) == len(found)


def test_a_group_is_taken_apart_by_the_authors_class(orchestrator):
    found = orchestrator.start(failing.catches_star).result(timeout=60)
    assert found == "2/fail#1 ada has used up 3"


def test_the_failure_of_a_child_is_caught_by_its_class(orchestrator):
    assert orchestrator.start(failing.catches_child).result(timeout=60) == "fail#1 3 2"


def test_a_replay_catches_the_same_class(tmp_path, home, mark):
    with Orchestrator(tmp_path / "runs.db") as first:
        run = first.start(failing.catches_and_waits, 3.0, id="again")
        eventually(lambda: run.status == "waiting", 30.0)
    with Orchestrator(tmp_path / "runs.db") as second:
        assert (
            second.get("again").result(timeout=60) == "3 step fail#1 failed after 2 attempts: Quota: ada has used up 3"
        )


# ---------------------------------------------------------------- forgotten awaits


@pytest.mark.parametrize(
    "what", ["step", "held", "child", "sleep", "asyncio.sleep", "receive", "approve", "emit", "run", "tell"]
)
def test_a_forgotten_await_fails_the_run_with_its_line(orchestrator, what):
    error = failure_of(orchestrator, failing.forgets, what)
    comment = f"a {'held' if what == 'held' else 'forgotten'} {what if what != 'held' else 'step'}"
    assert f"({APP}:{line(comment)})" in str(error)
    assert "never awaited" in str(error)
    assert f"{frame(comment)}forgets" in printed(error)
    assert what != "tell" or "write `await handler.tell(...)`" in str(error)


@pytest.mark.parametrize("what", ["closed", "task", "nothing"])
def test_what_was_closed_or_cancelled_on_purpose_is_not_forgotten(orchestrator, what):
    assert orchestrator.start(failing.forgets, what).result(timeout=60) == "done"


def test_a_task_that_is_left_before_it_began_is_a_forgotten_call(orchestrator):
    error = failure_of(orchestrator, failing.leaves)
    assert f"({APP}:{line('a task that is left')})" in str(error)
    assert "never awaited" in str(error)


# ---------------------------------------------------------------- results that cannot be carried


def test_a_result_that_cannot_be_carried_leads_to_the_function_that_returned_it(orchestrator):
    error = failure_of(orchestrator, failing.spread)
    assert str(error).endswith(f"annotate it with the type that it has ({APP}:{line('the tool with a set')})")


def test_a_call_in_a_result_is_told_as_what_lacks_its_await(orchestrator):
    error = failure_of(orchestrator, failing.hands_out)
    assert "the result of workflow `hands_out` holds calls that were not awaited" in str(error)
    assert f"({APP}:{line('the workflow with a call')})" in str(error)


# ---------------------------------------------------------------- a plain script

SCRIPT = """
import sys

from greenroom import Orchestrator, tool, workflow

class Quota(Exception):
    pass

@tool
def paint(name):
    raise Quota(name)

@workflow
async def flow(name: str):
    return {"red": "f00"}[name]  # the line

@workflow
async def steps(name: str):
    await paint.options(retry=__import__("greenroom").Retry(attempts=1))(name)

if __name__ == "__main__":
    paint("forgotten")  # never awaited
    with Orchestrator(sys.argv[1]) as orchestrator:
        try:
            orchestrator.start(steps, "blue").result(60)
        except Exception as error:
            print(type(error.cause.cause) is Quota, isinstance(error.cause, Quota))
        orchestrator.start(flow, "blue").result(60)
"""


def test_a_script_that_lets_a_failure_pass_ends_with_the_authors_line(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, str(script), str(tmp_path / "runs.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert done.stdout == "True True\n"
    wanted = SCRIPT.splitlines().index('    return {"red": "f00"}[name]  # the line') + 1
    last = [text.strip() for text in done.stderr.splitlines()[-2:]]
    assert last == [f'File "{script}", line {wanted}, in flow', 'return {"red": "f00"}[name]  # the line']
    called = SCRIPT.splitlines().index('    paint("forgotten")  # never awaited') + 1
    assert f"{script}:{called}: RuntimeWarning: coroutine 'paint' was never awaited" in done.stderr


def test_every_frame_is_shown_where_that_is_asked_for(orchestrator, monkeypatch, tmp_path):
    assert "/actors/" not in str(failure_of(orchestrator, failing.own).__cause__)
    monkeypatch.setenv("GREENROOM_TRACEBACK", "full")
    with Orchestrator(tmp_path / "other.db") as full:
        error = failure_of(full, failing.own)
    assert "/actors/" in str(error.__cause__)
    assert len(traceback.extract_tb(error.__traceback__)) > 2


def test_how_far_a_failed_step_was_is_in_the_error_of_its_run_as_the_value_that_it_reported(orchestrator):
    (attempt,) = failure_of(orchestrator, failing.stopping).attempts
    assert attempt.progress["done"] == 3
    assert orchestrator.start(failing.tells_how_far).result(timeout=60) == 3
