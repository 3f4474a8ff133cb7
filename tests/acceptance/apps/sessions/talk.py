"""Sessions for the tests: one that does a little of everything, and some that fail in a way of their own."""

import os
import signal as signals

from pydantic import BaseModel

from greenroom import approve, emit, receive, run, session, signal, sleep, tool, workflow
from tests.acceptance.apps.effects import append
from tests.acceptance.apps.steering.running import gate


class Memory(BaseModel):
    said: list[str] = []


class Say(BaseModel):
    text: str


class Forget(BaseModel):
    pass


class Reply(BaseModel):
    text: str
    turns: int


@tool
def shout(text: str) -> str:
    return text.upper()


@session(state=Memory)
async def parrot(state: Memory, message: Say | Forget) -> Reply:
    """Say everything again, louder."""
    if isinstance(message, Forget):
        state.said.clear()
        return Reply(text="forgotten", turns=0)
    loud = await shout(message.text)
    state.said.append(loud)
    await emit(loud)
    return Reply(text=loud, turns=len(state.said))


@session(state=Memory)
async def plain(state: Memory, message: Say) -> int:
    """Answer without any step."""
    state.said[:] = [*state.said[-9:], message.text]
    return len(message.text)


class Mark(BaseModel):
    n: int
    log: str


class Marks(BaseModel):
    seen: list[int] = []


@tool
def note(log: str, line: str) -> None:
    append(log, line)


@session(state=Marks)
async def scribe(state: Marks, message: Mark) -> list[int]:
    """Note each message before and after a moment in which it can be killed, and answer with all seen so far."""
    await note(message.log, f"{message.n} begin")
    await sleep(0.05)
    await note(message.log, f"{message.n} end")
    state.seen.append(message.n)
    return state.seen


@tool
def crash() -> None:
    os.kill(os.getpid(), signals.SIGKILL)


@session(state=Memory)
async def moody(state: Memory, message: Say) -> str:
    """Fail in the way that the message asks for."""
    state.said.append(message.text)
    await emit(message.text)
    match message.text:
        case "raise":
            msg = "not today"
            raise ValueError(msg)
        case "die":
            os.kill(os.getpid(), signals.SIGKILL)
        case "poison":
            await crash()
        case "receive":
            await receive(Say)
        case "misfit":
            state.said = "no list"  # type: ignore[assignment]
    return f"well: {len(state.said)}"


@session(state=Memory, on_failure="stop")
async def strict(state: Memory, message: Say) -> str:
    """Stop at the first failure."""
    if message.text == "raise":
        msg = "not today"
        raise ValueError(msg)
    state.said.append(message.text)
    return message.text


@session(state=Memory)
async def gated(state: Memory, message: Say) -> str:
    """Wait at a gate in a folder, in the middle of the turn."""
    await gate(message.text, "gate")
    state.said.append(message.text)
    return "through"


@session(state=Memory)
async def gossip(state: Memory, message: Say) -> int:
    """Tell two others; a second message to one of them that comes around again."""
    state.said.append(message.text)
    if not message.text.startswith("heard"):
        await gossip.tell("bea", Say(text=f"heard {message.text}"))
        await gossip.tell("cid", Say(text=f"heard {message.text}"))
    return len(state.said)


@workflow
async def rumour(count: int) -> None:
    """Tell a session many things from a workflow."""
    for n in range(count):
        await gossip.tell("dan", Say(text=f"heard {n}"))
        await shout("x")


class Word(BaseModel):
    text: str


@workflow
async def listener() -> str:
    return (await receive(Word)).text


@session(state=Memory)
async def messenger(state: Memory, message: Say) -> str:
    """Signal the run that the message names."""
    await signal(message.text, Word(text=f"from {message.text}"))
    state.said.append(message.text)
    return "sent"


@session(state=Memory)
async def careful(state: Memory, message: Say) -> str:
    """Ask a person before saying anything."""
    approval = await approve("say", {"text": message.text})
    if approval.decision == "reject":
        return "silence"
    state.said.append(approval.args["text"])
    return state.said[-1]


@workflow
async def child(text: str) -> str:
    return await shout(text)


@session(state=Memory)
async def parent(state: Memory, message: Say) -> str:
    """Have a run of its own do the work."""
    state.said.append(await run(child, message.text))
    return state.said[-1]
