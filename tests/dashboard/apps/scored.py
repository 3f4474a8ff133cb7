"""Answers that are rated in the background: of a step, of a run, and of a session."""

from pydantic import BaseModel

from greenroom import LLM, MockModel, evaluator, session, workflow


@evaluator
def short(text: str) -> float:
    return 0.9 if len(text) < 20 else 0.1


writer = LLM("writer", model=MockModel(latency=0.0, replies=["Otters swim."]), sample={short: 1.0})


@workflow(sample={short: 1.0})
async def tell(question: str) -> str:
    return await writer(question)


class Ask(BaseModel):
    text: str


class Nothing(BaseModel):
    pass


@session(state=Nothing, sample={short: 1.0})
async def chat(state: Nothing, message: Ask) -> str:
    return await writer(message.text)
