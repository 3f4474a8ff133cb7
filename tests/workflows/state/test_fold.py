"""The fold knows every event that a journal may hold."""

from typing import get_args

from greenroom.messages.events.events import AnyEvent, RunStarted, SessionOpened
from greenroom.messages.events.schedules import ScheduleEvent
from greenroom.workflows.state.fold import HANDLERS


def test_every_event_that_may_follow_the_first_one_of_a_run_has_a_handler() -> None:
    (events, _discriminator) = get_args(AnyEvent)
    first = {RunStarted, SessionOpened}
    assert set(HANDLERS) == set(get_args(events)) - first - set(get_args(ScheduleEvent))
