"""Where did my code fail? HTTP answers with the author's file and line."""

import pytest

from greenroom import RunFailed
from tests.dashboard.conftest import APP, start

LINE = next(number for number, text in enumerate(APP.read_text().splitlines(), 1) if "raise ValueError(why)" in text)
FRAME = f'File "{APP}", line {LINE}, in explode'


@pytest.fixture
def failed(orchestrator, server) -> str:
    run = start(orchestrator, "broken", "bad")
    with pytest.raises(RunFailed):
        run.result(timeout=50)
    return run.id


def test_a_run_its_steps_and_its_events_have_the_traceback(api, failed):
    run = api.get(f"/runs/{failed}").json()
    assert FRAME in run["failure"]["traceback"]
    assert run["reason"].endswith(f"({APP}:{LINE})")
    (step,) = api.get(f"/runs/{failed}/steps").json()
    assert FRAME in step["attempts"][-1]["traceback"]
    assert step["attempts"][-1]["place"] == f"{APP}:{LINE}"
    assert FRAME in api.get(f"/runs/{failed}/events").json()[-1]["failure"]["traceback"]


def test_a_problem_has_it_too(api, failed):
    problem = api.get(f"/runs/{failed}/result").json()
    assert problem["code"] == "run_failed"
    assert FRAME in problem["failure"]["traceback"]
    assert FRAME in problem["attempts"][-1]["traceback"]


def test_a_client_raises_what_a_handle_raises(client, failed):
    with pytest.raises(RunFailed) as caught:
        client.get(failed).result(timeout=50)
    assert FRAME in str(caught.value.__cause__)
    assert isinstance(caught.value.cause, ValueError)
    assert FRAME in caught.value.__notes__[0]
