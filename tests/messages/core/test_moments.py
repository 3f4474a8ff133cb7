"""Moments in records: datetimes in UTC for Python, ISO 8601 with the offset for everybody else."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from greenroom.messages.core.times import moment
from greenroom.messages.events import schedules
from greenroom.messages.records import records
from greenroom.messages.records.attempts import AttemptRecord
from greenroom.messages.records.records import RunRecord

AT = 1_764_356_886.123_456
TEXT = "2025-11-28T19:08:06.123+00:00"
RUN = RunRecord(id="r", workflow="w", app="a", status="running", started_at=moment(AT), updated_at=moment(AT))


def test_a_moment_is_a_datetime_in_utc_and_its_json_what_it_always_was() -> None:
    assert RUN.started_at == datetime(2025, 11, 28, 19, 8, 6, 123_000, tzinfo=UTC)
    assert RUN.started_at.tzinfo is UTC
    for text in (RUN.model_dump_json(), to_json(RUN).decode(), to_json([RUN]).decode()):
        assert f'"started_at":"{TEXT}"' in text
        assert '"ended_at":null' in text
    assert RUN.model_dump(mode="json")["updated_at"] == TEXT
    assert RUN.model_dump()["updated_at"] == RUN.updated_at


def test_the_json_of_a_record_comes_back_equal() -> None:
    assert RunRecord.model_validate_json(RUN.model_dump_json()) == RUN
    finer = RUN.model_copy(update={}).model_validate({**RUN.model_dump(), "started_at": datetime.now(UTC)})
    assert RunRecord.model_validate_json(finer.model_dump_json()) == finer


@pytest.mark.parametrize("text", [TEXT, "2025-11-28T19:08:06.123Z", "2025-11-28T21:08:06.123+02:00"])
def test_a_moment_is_read_from_whatever_zone_it_is_written_in(text: str) -> None:
    record = RunRecord.model_validate_json(RUN.model_dump_json().replace(TEXT, text))
    assert record == RUN
    assert record.started_at.tzinfo is UTC


def test_a_moment_of_another_zone_is_kept_in_utc_and_one_of_none_is_refused() -> None:
    east = datetime(2025, 11, 28, 21, 8, 6, 123_456, tzinfo=timezone(timedelta(hours=2)))
    attempt = AttemptRecord(number=1, worker="w", pid=1, started_at=east)
    assert (attempt.started_at, attempt.started_at.tzinfo) == (RUN.started_at, UTC)
    with pytest.raises(ValidationError, match="timezone"):
        AttemptRecord(number=1, worker="w", pid=1, started_at=datetime(2025, 11, 28))  # noqa: DTZ001  that is the point
    with pytest.raises(ValidationError, match="datetime"):
        AttemptRecord.model_validate({"number": 1, "worker": "w", "pid": 1, "started_at": TEXT})


def test_no_record_has_a_time_that_is_text_or_a_number() -> None:
    found = [value for module in (records, schedules) for value in vars(module).values() if isinstance(value, type)]
    shown = [value for value in found if issubclass(value, BaseModel) and value.__name__.endswith(("Record", "Item"))]
    times = {
        (model.__name__, name): field
        for model in shown
        for name, field in model.model_fields.items()
        if name.endswith("_at") or name in {"at", "due", "next_times"}
    }
    assert len(times) >= 15
    assert [where for where, field in times.items() if "AwareDatetime" not in str(field)] == []
