"""Models that answer badly at first, and evaluators that say so."""

from pydantic import BaseModel

from greenroom import LLM, MockModel, Retry, Score, evaluator, tool, workflow

QUICK = Retry(attempts=4, initial=0.01, jitter=0.0)


class Brief(BaseModel):
    """What the models write."""

    title: str
    bullets: list[str]


def brief(*bullets: str) -> Brief:
    return Brief(title="Otters", bullets=list(bullets))


LONG = brief(*(f"Otters have {number} fish." for number in range(8)))
SHORT = brief("Otters hold hands.")


@evaluator
def concise(answer: Brief) -> Score:
    good = len(answer.bullets) <= 5
    return Score(1.0 if good else 0.4, reason="" if good else "at most five bullets")


@evaluator
def terse(answer: Brief) -> Score:
    good = len(answer.bullets) <= 2
    return Score(float(good), reason="" if good else "write at most two bullets")


@evaluator
async def about_otters(answer: Brief, call: dict[str, object]) -> bool:
    """Two parameters: the result and the call that gave it."""
    return "Otters" in answer.title and bool(call["args"])


@evaluator
def broken(_answer: Brief) -> float:
    raise ZeroDivisionError("the evaluator itself is broken")


malformed = LLM(
    "malformed",
    output=Brief,
    retry=QUICK,
    model=MockModel(latency=0.0, replies=['{"title": "Ott', '{"title": 3}', "prose", SHORT]),
)
improving = LLM(
    "improving",
    output=Brief,
    accept=[concise, about_otters],
    threshold=0.8,
    on_reject="retry",
    retry=QUICK,
    model=MockModel(latency=0.0, replies=[LONG, SHORT]),
)
heeding = LLM("heeding", output=Brief, accept=[terse], retry=QUICK, model=MockModel(latency=0.0))
"""No script: the mock writes four bullets, and obeys "at most two" where that is fed back."""
stubborn = LLM("stubborn", output=Brief, accept=[concise], retry=QUICK, model=MockModel(latency=0.0, replies=[LONG]))
flagging = LLM(
    "flagging",
    output=Brief,
    accept=[concise],
    on_reject="flag",
    retry=QUICK,
    model=MockModel(latency=0.0, replies=[LONG]),
)
failing = LLM(
    "failing",
    output=Brief,
    accept=[concise],
    on_reject="fail",
    retry=QUICK,
    model=MockModel(latency=0.0, replies=[LONG]),
)
unjudged = LLM("unjudged", output=Brief, accept=[broken], retry=QUICK, model=MockModel(latency=0.0, replies=[SHORT]))
unlucky = LLM("unlucky", retry=QUICK, model=MockModel(latency=0.0, replies=[ConnectionResetError("cut"), "at last"]))
slow = LLM("slow", model=MockModel(latency=0.05, replies=["done"]))

MODELS = {model.name: model for model in (malformed, improving, heeding, stubborn, flagging, failing, unjudged)}


@workflow
async def write(model: str, prompt: str) -> Brief:
    return await MODELS[model](prompt)


@workflow
async def ask(prompt: str) -> str:
    return await unlucky(prompt)


@evaluator
def even(number: int) -> float:
    return 1.0 if number % 2 == 0 else 0.0


@tool(accept=[even], retry=QUICK)
def count_up(start: int) -> int:
    from greenroom import current  # noqa: PLC0415  tools may import where they please

    return start + current().attempt


@workflow
async def counted(start: int) -> int:
    return await count_up(start)


@workflow
async def judge_directly(number: int) -> float:
    return (await even(number)).value
