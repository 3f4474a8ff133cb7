"""One tool never returns, beside healthy ones. Its time limit ends it, whatever it is doing, and the run goes on.

    python examples/hanging.py
    greenroom run examples/hanging.py:check -i 'texts=["aaaa", "aaab"]'

The tool matches texts against a careless pattern. For some texts the search takes longer than the age of the universe,
inside the C code of ``re``, which holds the interpreter: no thread, signal handler or ``asyncio.timeout`` of the same
process could end it. Killing the process can.
"""

import asyncio
import re

from greenroom import Orchestrator, Retry, StepFailed, tool, workflow

EVIL = "a" * 60 + "b"


@tool(timeout=1.0, retry=Retry(attempts=2, initial=0.0))
def matches(text: str) -> bool:
    """Say whether a text consists of the letter a, in a way that backtracks without end on some that do not."""
    return re.match(r"(a+)+$", text) is not None


async def judge(text: str) -> str:
    """Check one text; a tool that hangs is a failure like any other, caught like any exception."""
    try:
        return "yes" if await matches(text) else "no"
    except StepFailed as error:
        return f"gave up: {error.outcome} {error.attempts} times"


@workflow
async def check(texts: list[str]) -> list[str]:
    """Check all texts at once."""
    return await asyncio.gather(*(judge(text) for text in texts))


if __name__ == "__main__":
    with Orchestrator() as orchestrator:
        run = orchestrator.start(check, ["aaaa", EVIL, "aaab", "a"])
        print(run.result(timeout=60))
        for step in run.steps():
            attempts = [f"pid {attempt.pid} {attempt.outcome}" for attempt in step.attempts]
            print(f"{step.key:14} {step.status:10} {', then '.join(attempts)}")
