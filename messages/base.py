"""The roots of every message: frozen pydantic models that forbid what they do not know."""

from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, JsonValue
from pydantic_core import CoreSchema, core_schema


class _Unchecked:
    """Takes a value as it is. What JSON was read from is JSON, and what is none fails when it is written."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.any_schema()


Json: TypeAlias = Annotated[JsonValue, _Unchecked()]
"""Any JSON value. User values cross processes and enter the journal in this form only.

Pydantic's own check of such a value calls Python for every node of it; here it is the codec that tells JSON from the
rest.
"""


class Message(BaseModel):
    """A value that crosses a process boundary or enters the journal.

    Frozen, so it can be shared between threads; strict and closed, so bytes that do not fit are a typed error at the
    door and never a surprise inside.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", strict=True, ser_json_inf_nan="constants"
    )


class Event(Message):
    """A fact about one run, session or schedule, as the journal holds it."""

    at: float
    """Seconds since the Unix epoch."""
