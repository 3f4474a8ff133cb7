"""The same start from another process is the same start: no order of Python's gets into what is compared."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom import IdConflict, Orchestrator
from greenroom.actors.values.canonical import sort_sets
from greenroom.messages import commands as c
from greenroom.messages.core.equality import same
from tests.acceptance import harness
from tests.acceptance.apps.replay import gathered
from tests.support import ROOT

pytestmark = pytest.mark.slow

BIND = """
import json, sys
from tests.acceptance.apps.replay import gathered
print(json.dumps(gathered.sorts.bind(*gathered.arguments()), sort_keys=True))
"""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def bound(seed: int) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(seed)}
    return subprocess.check_output([sys.executable, "-c", BIND], env=environment, cwd=ROOT, text=True, timeout=60)


def test_every_interpreter_writes_the_same_arguments_alike():
    written = {bound(seed) for seed in (0, 1, 2, 4242)}
    assert len(written) == 1
    assert json.loads(written.pop())["words"] == sorted(gathered.WORDS)


@pytest.mark.timeout(120)
def test_a_start_with_sets_finds_its_run_from_every_process_and_through_every_door(home, mark, tmp_path):
    script = (
        "import sys\n"
        "from tests.acceptance.apps.replay import gathered\n"
        "from greenroom import Orchestrator\n"
        "with Orchestrator(sys.argv[1]) as o:\n"
        "    print(o.start(gathered.sorts, *gathered.arguments(), id='one').result())\n"
        "    o.schedule('daily', gathered.sorts, *gathered.arguments(), cron='0 3 * * *')\n"
    )
    said = set()
    for seed in (1, 2, 3):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(seed)}
        command = [sys.executable, "-c", script, str(tmp_path / "runs.db")]
        said.add(subprocess.check_output(command, env=environment, cwd=ROOT, text=True, timeout=60))
    assert said == {"39\n"}
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        assert orchestrator.start(gathered.sorts, *gathered.arguments(), id="one").result(1) == 39
        given = gathered.sorts.bind(*gathered.arguments())
        given["words"] = list(reversed(given["words"]))
        app = gathered.sorts.definition.app
        orchestrator.start_app(app, "sorts", dict(reversed(list(given.items()))), id="one")
        other = orchestrator.start_app(app, "sorts", given, id="two")
        assert other.result(60) == 39
        assert orchestrator.start(gathered.sorts, *gathered.arguments(), id="two").result(1) == 39
        with pytest.raises(IdConflict):
            orchestrator.start_app(app, "sorts", {**given, "words": ["another"]}, id="one")
        reply = orchestrator.send(c.StartRun(run_id="one", app=app, workflow="sorts", arguments=given))
        assert isinstance(reply, c.Accepted)
        assert not reply.created


@given(JSON)
def test_what_is_compared_is_the_same_as_itself_read_again_and_whatever_its_members_order(value) -> None:
    assert same(value, json.loads(json.dumps(value)))
    assert same(value, json.loads(json.dumps(value, sort_keys=True)))
    assert sort_sets(value, value) == value


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ([1, [True]], [1, [1]], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([1, 2], [2, 1], False),
        ("\u00e9", "e\u0301", False),
        (None, False, False),
        (2**70, float(2**70), True),
    ],
)
def test_values_are_compared_as_json_means_them(a, b, alike) -> None:
    assert same(a, b) is alike
    assert same({"x": [a]}, {"x": [b]}) is alike
