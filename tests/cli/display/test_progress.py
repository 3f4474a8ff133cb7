"""Progress of a run on a terminal: one thread learns its events while another draws it."""

import io
import threading
from collections import deque
from collections.abc import Iterator

import pytest
from rich.console import Console

from greenroom.cli.display.progress import Progress
from greenroom.messages.events import events as ev
from greenroom.messages.options.policy import StepOptions

STEPS = 1500


def history() -> Iterator[ev.AnyEvent]:
    yield ev.RunStarted(at=0.0, run_id="r", app="a", workflow="w", arguments={}, seed="1")
    for number in range(STEPS):
        yield ev.StepScheduled(
            at=float(number), key=f"s#{number}", name="s", kind="tool", step="a:s", arguments={}, options=StepOptions()
        )


@pytest.mark.usefixtures("hasty_threads")
def test_it_is_drawn_while_steps_are_added() -> None:
    progress = Progress("r")
    shown = Console(file=io.StringIO(), width=80)
    learning = threading.Thread(target=lambda: deque(map(progress.learn, history()), maxlen=0))
    learning.start()
    while learning.is_alive():
        shown.print(progress)
    learning.join()
    shown.print(progress)
    assert isinstance(shown.file, io.StringIO)
    assert f"0 of {STEPS} steps done" in shown.file.getvalue()
