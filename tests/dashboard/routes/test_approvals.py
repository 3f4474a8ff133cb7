"""Questions to people over HTTP: ids that need no quotes, and edits that fit or are refused by field at every door."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from greenroom import InvalidInput
from greenroom.messages.commands import DecideApproval
from tests.dashboard.conftest import start
from tests.support import ROOT, eventually

pytestmark = pytest.mark.timeout(120)
MISFITS = [
    ("ship", {"to": "paris"}, {"to": 7, "parcels": "two"}, {"args.to", "args.parcels"}),
    ("ship", {"to": "paris"}, {"to": "rome", "parcls": 2}, {"args.parcls"}),
    ("ship", {"to": "paris"}, ["paris"], {"args"}),
    ("pay", {"usd": 3}, {"usd": "lots", "too": "bob"}, {"args.usd", "args.to", "args.too"}),
    ("pay", {"usd": 3}, 3, {"args"}),
]


def line(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, str(ROOT / "main.py"), *arguments]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=60, env=dict(os.environ))


@pytest.mark.parametrize(("workflow", "inputs", "edit", "fields"), MISFITS)
def test_an_edit_that_does_not_fit_is_refused_by_field_at_every_door(
    client, orchestrator, api, workflow: str, inputs: dict[str, Any], edit: Any, fields: set[str]
) -> None:
    run = start(orchestrator, workflow, "run", **inputs)
    (asked,) = eventually(run.approvals)
    seen = run.record.events
    command = DecideApproval(approval=asked.id, decision="edit", args=edit)
    for door in (orchestrator, client):
        refused = door.send(command)
        assert (refused.code, {fault.field for fault in refused.faults}) == ("invalid", fields)
        with pytest.raises(InvalidInput, match="the edit cannot take the place of"):
            door.decide(asked.id, "edit", edit)
    for answer in (
        api.post(f"/approvals/{asked.id}", json={"decision": "edit", "args": edit}),
        api.post("/messages", content=command.model_dump_json(), headers={"Content-Type": "application/json"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
        assert {fault["field"] for fault in answer.json()["errors"]} == fields
    typed = line("approvals", "edit", asked.id, "--args", json.dumps(edit))
    assert typed.returncode == 2, typed.stderr
    assert all(f"{field}: " in typed.stderr for field in fields)
    assert run.approvals() == [asked]
    assert run.record.events == seen, "nothing of it is on record"


def test_an_edit_of_a_model_is_taken_in_its_normal_form(api, orchestrator) -> None:
    run = start(orchestrator, "ship", "run", to="paris")
    (asked,) = eventually(run.approvals)
    assert api.post(f"/approvals/{asked.id}", json={"decision": "edit", "args": {"to": "rome"}}).status_code == 200
    assert run.result(30) == '{"to":"rome","parcels":1,"note":null}'


def test_an_id_is_pasted_unquoted_and_one_of_an_older_version_is_taken_too(api, orchestrator) -> None:
    run = start(orchestrator, "pay", "run", usd=3)
    (asked,) = eventually(run.approvals)
    assert asked.id == "run~~approve~.1"
    edit = {"decision": "edit", "args": {"usd": 2.5, "to": "bob"}}
    assert api.post(f"/approvals/{asked.id}", json=edit).status_code == 200
    assert api.post("/approvals/run:approve%231", json=edit).status_code == 200, "the same decision"
    assert api.post("/approvals/run:approve%231", json={"decision": "reject"}).json()["code"] == "conflict"
    assert run.result(30) == "2.5 to bob"
