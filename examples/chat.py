"""A chat session that lives as long as its journal: one per person, each with its own memory.

    python examples/chat.py ada "what is a session?"               # ask in this process
    greenroom sessions ask examples/chat.py:chat ada '{"text": "and who are you?"}'
    greenroom sessions show chat ada                              # everything that was said
    greenroom serve examples/chat.py                              # then POST to /api/v1/sessions/chat/ada

Kill it at any moment, in the middle of an answer too, and ask again with the same ``--key``: every message is answered
exactly once, in the order in which the messages were taken. The model is the embedded one; set ``GREENROOM_MODEL``, or
leave ``model`` out of the ``LLM``, for another.
"""

import argparse
import re

from pydantic import BaseModel

from greenroom import LLM, MockModel, Orchestrator, Retry, emit, now, session, tool

LAST = 6
"""Lines that the model is shown of what was said before."""


class Line(BaseModel):
    """One thing that was said."""

    who: str
    text: str
    at: str


class Chat(BaseModel):
    """What a session remembers."""

    topics: dict[str, int] = {}
    lines: list[Line] = []


class UserMessage(BaseModel):
    """Something a person says."""

    text: str


class Forget(BaseModel):
    """A person wants everything forgotten."""

    forget: bool


class Reply(BaseModel):
    """What the session answers."""

    turn: int
    text: str
    topics: list[str]


@tool(retry=Retry(attempts=3, initial=0.1))
def topics_of(text: str) -> list[str]:
    """Find what a text is about: its long words, in order, each once."""
    return list(dict.fromkeys(re.findall(r"\w{5,}", text.lower())))


companion = LLM(
    "companion",
    instructions="You are a patient companion. Answer in one or two sentences.",
    model=MockModel(seed=7, latency=(0.05, 0.2)),
)


@session(state=Chat)
async def chat(state: Chat, message: UserMessage | Forget) -> Reply:
    """Answer one message. All of it counts once it is through, or none of it."""
    if isinstance(message, Forget):
        state.topics.clear()
        state.lines.clear()
        return Reply(turn=0, text="All of it is forgotten.", topics=[])
    topics = await topics_of(message.text)
    earlier = "\n".join(f"{line.who}: {line.text}" for line in state.lines[-LAST:])
    text = await companion(f"{earlier}\nperson: {message.text}".strip())
    for topic in topics:
        state.topics[topic] = state.topics.get(topic, 0) + 1
    said = now().isoformat(timespec="seconds")
    state.lines += [Line(who="person", text=message.text, at=said), Line(who="companion", text=text, at=said)]
    await emit(text, "said")
    return Reply(turn=len(state.lines) // 2, text=text, topics=sorted(state.topics))


def main() -> None:
    """Ask what stands on the command line, and tell what the session remembers."""
    parser = argparse.ArgumentParser(description="Talk to a session.")
    parser.add_argument("person", nargs="?", default="ada")
    parser.add_argument("text", nargs="?", default="what is a session?")
    given = parser.parse_args()
    with Orchestrator() as orchestrator:
        talk = orchestrator.session(chat, given.person)
        reply = talk.ask(UserMessage(text=given.text), timeout=60)
        print(f"turn {reply.turn}: {reply.text}")
        print(f"topics so far: {', '.join(reply.topics) or 'none'}")


if __name__ == "__main__":
    main()
