"""Field types of messages for what people give and read: seconds, limits, moments, amounts, names of variables."""

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, AwareDatetime, Field, GetCoreSchemaHandler, PlainSerializer
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from greenroom.messages.core.times import LONGEST, iso, milliseconds


class _PythonCheck:
    """Validates values given by Python code. Values from JSON are checked before, and read without calling Python."""

    def __init__(self, look: Callable[[Any], Any]) -> None:
        self._look = look

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        plain = handler(source)
        python = core_schema.no_info_before_validator_function(self._look, plain)
        return core_schema.json_or_python_schema(json_schema=plain, python_schema=python)


def _unfit(sentence: str) -> PydanticCustomError:
    """Return the error of a validator, which pydantic reports by this sentence alone."""
    return PydanticCustomError("unfit", "{sentence}", {"sentence": sentence})


def _number(value: Any) -> Any:
    """Refuse NaN. The field checks everything else."""
    if isinstance(value, float) and math.isnan(value):
        msg = "NaN is not a number"
        raise _unfit(msg)
    return value


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        msg = f"{value} is not a finite number"
        raise _unfit(msg)
    return value


def _in_seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _duration(value: Any) -> Any:
    value = _number(_in_seconds(value))
    return LONGEST if isinstance(value, (int, float)) and not isinstance(value, bool) and value > LONGEST else value


def _limit(value: Any) -> Any:
    value = _duration(value)
    return None if value == LONGEST and not isinstance(value, bool) else value


def _unbounded(value: Any) -> Any:
    return None if value == math.inf else _number(value)


def _variable(value: Any) -> Any:
    if isinstance(value, str) and (not value or "=" in value or "\0" in value):
        hint = "; `--env NAME=VALUE` sets one for the whole app" if "=" in value else ""
        msg = f"{value!r} is not the name of an environment variable{hint}"
        raise _unfit(msg)
    return value


Moment: TypeAlias = Annotated[
    AwareDatetime,
    AfterValidator(milliseconds),
    PlainSerializer(iso, return_type=str, when_used="json"),
    Field(json_schema_extra={"type": "string", "format": "date-time"}),
]
"""A datetime in UTC, to the millisecond; ISO 8601 in JSON. A datetime without a time zone is refused."""
Interval: TypeAlias = Annotated[float | None, _PythonCheck(_duration)]
"""Seconds between two due times, at most ``LONGEST``; None if it does not apply. Other bounds are checked elsewhere."""
Span: TypeAlias = Annotated[float, _PythonCheck(_duration)]
"""Seconds, at most ``LONGEST``, with the lower bound checked elsewhere."""
Duration: TypeAlias = Annotated[float, Field(ge=0), _PythonCheck(_duration)]
"""Seconds, at most ``LONGEST``."""
Limit: TypeAlias = Annotated[float | None, Field(gt=0), _PythonCheck(_limit)]
"""Seconds above 0; None or ``math.inf`` for no limit."""
Amount: TypeAlias = Annotated[float | None, Field(gt=0), _PythonCheck(_unbounded)]
"""A number above 0; None or ``math.inf`` for no limit."""
PriceAmount: TypeAlias = Annotated[float, Field(ge=0), _PythonCheck(_finite)]
"""A finite number, at least 0."""
Factor: TypeAlias = Annotated[float, Field(ge=1), _PythonCheck(_finite)]
"""A finite number, at least 1."""
Share: TypeAlias = Annotated[float, Field(ge=0, le=1), _PythonCheck(_finite)]
"""A number from 0 to 1."""
OwnShare: TypeAlias = Annotated[float | None, Field(ge=0, le=1), _PythonCheck(_finite)]
"""A number from 0 to 1; None for that of something larger."""
VariableName: TypeAlias = Annotated[str, _PythonCheck(_variable)]
"""Name of an environment variable."""
