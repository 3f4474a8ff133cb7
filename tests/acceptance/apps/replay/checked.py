"""An app whose validators do anything but validate."""

import os
import re
import sys
import time
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator

from greenroom import receive, session, workflow


def look(value: Any) -> Any:
    """Do what a value says."""
    match value:
        case "raise":
            raise KeyError("colour")
        case "exit":
            sys.exit(3)
        case "die":
            os._exit(9)
        case "sleep":
            time.sleep(600)
        case "compute":
            re.match(r"(a+)+$", "a" * 60 + "b")
    return value


Looked = Annotated[Any, BeforeValidator(look)]


class Message(BaseModel):
    """What the sessions take."""

    value: Looked = None


class State(BaseModel):
    """How many messages there were."""

    many: int = 0


class Go(BaseModel):
    """What lets waiting runs go on."""


@workflow
async def plain(value: Looked = None) -> Any:
    return value


@workflow
async def waiting() -> str:
    await receive(Go)
    return "gone on"


@session(state=State)
async def counting(state: State, _message: Message) -> State:
    state.many += 1
    return state
