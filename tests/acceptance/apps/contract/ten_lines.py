"""The program that the documentation opens with, with bodies."""

from pydantic import BaseModel

from greenroom import LLM, Orchestrator, Retry, Score, evaluator, tool, workflow


class Brief(BaseModel):
    title: str
    bullets: list[str]


@tool(timeout=10, retry=Retry(attempts=5), memory_mb=512)
def search(query: str) -> list[str]:
    return [
        f"The {query} is a mammal that eats fish.",
        f"Every {query} can swim very well.",
        f"No {query} likes deserts.",
    ]


@evaluator
def concise(brief: Brief) -> Score:
    return Score(1.0 if len(brief.bullets) <= 5 else 0.4, reason="at most five bullets")


writer = LLM("writer", output=Brief, accept=[concise], threshold=0.8, on_reject="retry")


@workflow
async def research(topic: str) -> Brief:
    hits = await search(topic)
    return await writer(f"Write a brief on {topic} from {hits}")


if __name__ == "__main__":
    with Orchestrator("runs.db") as orchestrator:
        run = orchestrator.start(research, "otters", id="brief-otters")
        brief = run.result(timeout=60)
        print(type(brief).__name__, len(brief.bullets), run.status)
