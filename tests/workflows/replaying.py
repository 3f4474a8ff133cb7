"""Replaying a journal against a workflow on the spot, the way a worker does, with nothing behind it."""

import asyncio
from collections.abc import Sequence
from typing import Any

from greenroom.actors.definitions.definitions import WorkflowDefinition
from greenroom.actors.program.loop.loop import ProgramLoop
from greenroom.actors.program.program import Program
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.frames.worker import Resolution, Resolve, StartProgram, Turn
from greenroom.supervision.jobs import Assigned, Job, JobHandle, JobOrder, Send
from greenroom.workflows.runs.jobs.program import ProgramJob
from greenroom.workflows.state.fold import fold_all
from greenroom.workflows.state.run_state import RunState


class Pool:
    """Takes the job of one program and the outcomes that follow it."""

    def __init__(self, events: Sequence[AnyEvent], *, trial: bool) -> None:
        self.state: RunState = fold_all(events)
        self.following: list[Resolution] = []
        services: Any = self
        link = ProgramJob(services, "r", lambda _happened: None)
        link.start(self.state, trial=trial)
        self.job.reply(Assigned(self.job.token, "program-1", 1, 1))

    def mint(self) -> str:
        return "1"

    def submit(self, _pool: Any, _limits: Any, job: Job) -> JobHandle:
        self.job = job
        return JobHandle(self.tell, job.token)

    def tell(self, message: JobOrder) -> None:
        assert isinstance(message, Send)
        assert isinstance(message.frame, Resolve)
        self.following.append(message.frame.resolution)


def replay(definition: WorkflowDefinition, events: Sequence[AnyEvent], *, trial: bool = True) -> Turn:
    """Give the turn that ends the replay of a run's events."""
    pool = Pool(events, trial=trial)
    frame = pool.job.frame
    assert isinstance(frame, StartProgram)
    turns: list[Turn] = []

    def idle() -> bool:
        if program.advance():
            return True
        turns.append(program.turn())
        assert not (turns[-1].replaying and turns[-1].commands)
        if turns[-1].replaying:
            program.deliver(pool.following.pop(0))
        else:
            loop.stop()
        return True

    loop = ProgramLoop(idle)
    program = Program(loop, definition, StartProgram.model_validate_json(frame.model_dump_json()))
    try:
        program.begin()
        loop.run_forever()
    finally:
        program.end()
        if tasks := asyncio.all_tasks(loop):
            loop.run_until_complete(asyncio.wait(tasks))
        loop.close()
    return turns[-1]
