"""The root of every message: a frozen pydantic model that forbids what it does not know."""

from typing import ClassVar, TypeAlias

from pydantic import BaseModel, ConfigDict, JsonValue

Json: TypeAlias = JsonValue
"""Any JSON value. User values cross processes and enter the journal in this form only."""


class Message(BaseModel):
    """A value that crosses a process boundary or enters the journal.

    Frozen, so it can be shared between threads; strict and closed, so bytes that do not fit are a typed error at the
    door and never a surprise inside.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", strict=True, ser_json_inf_nan="constants")
