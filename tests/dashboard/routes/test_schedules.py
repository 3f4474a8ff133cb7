"""Schedules over HTTP and with the client: the same commands by other doors."""

from pathlib import Path

import pytest

from greenroom import ScheduleNotFound
from greenroom.messages.commands import PutSchedule, Refused
from greenroom.messages.events.schedules import Plan
from tests.dashboard.conftest import APP
from tests.support import eventually

PLAN = {"app": APP.name, "workflow": "total", "arguments": {"a": 3, "b": 4}, "cron": "0 0 1 1 *"}


def test_a_schedule_is_made_shown_triggered_and_deleted(api):
    made = api.post("/schedules/yearly", json={"plan": PLAN})
    assert (made.status_code, made.json()["created"]) == (200, True)
    assert api.post("/schedules/yearly", json={"plan": PLAN}).json()["created"] is False
    run_id = api.post("/schedules/yearly/trigger").json()["run_id"]
    assert api.get(f"/runs/{run_id}/result", params={"wait": 30}).json()["result"] == 7
    assert api.post("/schedules/yearly/pause", json={"reason": "for now"}).status_code == 200
    shown = api.get("/schedules/yearly").json()
    assert (shown["app"], shown["status"], shown["reason"], shown["fired"]) == (str(APP), "paused", "for now", 1)
    assert [each["name"] for each in api.get("/schedules").json()] == ["yearly"]
    api.post("/schedules/yearly/resume")
    api.post("/schedules/yearly/delete")
    assert api.get("/schedules/yearly").json()["code"] == "not_found"


def test_a_run_that_is_requested_again_with_its_key_is_started_once(api, client):
    def trigger(key: str) -> str:
        run_id: str = api.post("/schedules/yearly/trigger", headers={"Idempotency-Key": key}).json()["run_id"]
        return run_id

    api.post("/schedules/yearly", json={"plan": PLAN})
    first = trigger("delivery 7")
    assert trigger("delivery 7") == first
    assert api.get(f"/runs/{first}/result", params={"wait": 30}).json()["result"] == 7
    schedule = client.get_schedule("yearly")
    eventually(lambda: [firing.status for firing in schedule.last_runs()] == ["completed"])
    second = schedule.trigger(key="delivery 8")
    assert (schedule.trigger(key="delivery 8").id, second.result(30)) == (second.id, 7)
    eventually(lambda: [firing.status for firing in schedule.last_runs()] == ["completed", "completed"])


def test_what_is_not_served_cannot_be_scheduled(api, tmp_path: Path):
    (tmp_path / "other.py").write_text("")
    refused = api.post("/schedules/x", json={"plan": PLAN | {"app": str(tmp_path / "other.py")}})
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert api.post("/schedules/x", json={"plan": PLAN | {"cron": "61 * * * *"}}).json()["code"] == "invalid"
    assert api.post("/schedules/x", json={"plan": PLAN | {"overlap": "perhaps"}}).status_code == 422


def test_the_client_has_the_handles_of_the_orchestrator(client, orchestrator):
    plan = Plan(app=str(APP), workflow="total", arguments={"a": 3, "b": 4}, every=86_400.0, overlap="skip")
    assert not isinstance(client.send(PutSchedule(name="daily", plan=plan)), Refused)
    schedule = client.get_schedule("daily")
    assert schedule.record == orchestrator.get_schedule("daily").record
    assert schedule.trigger().result(30) == 7
    eventually(lambda: [firing.status for firing in schedule.last_runs()] == ["completed"])
    schedule.pause()
    assert (schedule.status, schedule.next_times()) == ("paused", [])
    schedule.resume()
    assert len(schedule.next_times(3)) == 3
    schedule.delete()
    assert client.schedules() == []
    with pytest.raises(ScheduleNotFound):
        client.get_schedule("daily")
