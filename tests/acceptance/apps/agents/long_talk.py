"""A conversation of 209,000 tokens, four characters each, in 100 model calls."""

from greenroom import LLM, Conversation, workflow
from greenroom.actors.models import ModelReply, ModelRequest

CALLS = 100
WORDS = "otter river fish stone water bank swim dive holt spraint "
CHARACTERS = 209_000 * 4 // CALLS // 2


def text(start: str) -> str:
    return (start + WORDS * (CHARACTERS // len(WORDS) + 1))[:CHARACTERS]


class Talkative:
    """Answers with the number of messages that it has read, and many words."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        read = sum(len(message.text) for message in request.messages)
        return ModelReply(text(f"{len(request.messages)} messages of {read} characters. "), usd=0.0)


talker = LLM("talker", model=Talkative())


@workflow
async def talk(calls: int) -> str:
    history, last = Conversation(), ""
    for number in range(calls):
        last = await talker(text(f"Question {number}. "), history=history)
    return last
