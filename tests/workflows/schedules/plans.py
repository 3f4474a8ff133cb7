"""Plans of schedules for tests, and moments by the clock of a time zone."""

from datetime import datetime
from zoneinfo import ZoneInfo

from greenroom.messages.events.schedules import Plan


def plan(**values) -> Plan:
    return Plan(**{"app": "app.py", "workflow": "report", "arguments": {}} | values)


def at(zone: str, *fields: int, fold: int = 0) -> float:
    return datetime(*fields, tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def local(zone: str, moment: float) -> str:
    return datetime.fromtimestamp(moment, ZoneInfo(zone)).strftime("%d %H:%M %z")
