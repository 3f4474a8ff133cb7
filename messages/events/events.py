"""Events of the journal: one per fact about a run, in the order in which the facts became true.

A run's state is a fold over these. ``at`` is seconds since the Unix epoch, UTC, read from the wall clock of the
orchestrator that wrote the event.
"""

from typing import Annotated, TypeAlias

from pydantic import Field

from greenroom.messages.events.answers import *
from greenroom.messages.events.runs import *
from greenroom.messages.events.schedules import ScheduleEvent
from greenroom.messages.events.sessions import *
from greenroom.messages.events.steps import *
from greenroom.messages.events.waits import *

AnyEvent: TypeAlias = Annotated[
    RunEvent | StepEvent | WaitEvent | SessionEvent | AnswerEvent | ScheduleEvent,
    Field(discriminator="type"),
]
