"""An app of a user's: orders are priced, summed up by a model, and approved by a person."""

# ruff: noqa: EM102, I001, N818  it is the code of the journal beside it, with the imports renamed
import greenroom
from pydantic import BaseModel
from greenroom import (
    LLM,
    Budget,
    Fatal,
    MockModel,
    Retry,
    Score,
    approve,
    emit,
    evaluator,
    receive,
    session,
    sleep,
    tool,
    workflow,
)


class Order(BaseModel):
    item: str
    price: float = 0.0


class Note(BaseModel):
    text: str


class Progress(BaseModel):
    done: int = 0


class OutOfStock(Exception):
    pass


@evaluator
def short(text: str) -> Score:
    return Score(1.0 if len(text) < 400 else 0.0, reason="below 400 characters")


writer = LLM("writer", model=MockModel(latency=0.0), accept=[short])


@tool
def price(item: str) -> Order:
    return Order(item=item, price=float(len(item)))


@tool(retry=Retry(attempts=2, initial=0.01))
def broken(item: str) -> Order:
    raise OutOfStock(item)


@tool
def refused(item: str) -> str:
    raise Fatal(f"no {item}")


@workflow
async def child(item: str) -> Order:
    return await price(item)


@workflow
async def finished(state: Progress, item: str) -> str:
    order = await greenroom.run(child, item)
    state.done += 1
    text = await writer(f"Say something about {order.item}")
    await emit(order.item)
    await sleep(0.01)
    return f"{order.item} {order.price} {bool(text)}"


@workflow
async def careful(item: str) -> str:
    try:
        await refused(item)
    except Fatal as error:
        first = f"Fatal: {error.args}"
    try:
        await greenroom.run(fatal, item)
    except greenroom.RunFailed as error:
        first += f" {type(error.cause).__name__}"
    try:
        await broken(item)
    except greenroom.GreenroomError as error:
        first += f" {error}"
    note = await receive(Note)
    return f"{first} {note.text}"


@workflow
async def failing(item: str) -> str:
    return (await broken(item)).item


@workflow
async def fatal(item: str) -> str:
    return await refused(item)


@workflow
async def approved(item: str) -> str:
    order = await price(item)
    answer = await approve("buy", {"item": order.item})
    last = await price("thanks")
    return f"{order.item} {answer.decision} {last.price}"


@workflow
async def noted(item: str) -> str:
    order = await price(item)
    note = await receive(Note)
    if isinstance(note, greenroom.Approval):
        return "never"
    return f"{order.item} {note.text}"


@workflow
async def sleeper(item: str) -> str:
    order = await price(item)
    await greenroom.sleep(3600)
    return order.item


@workflow
async def parent(item: str) -> str:
    order = await greenroom.run(noted, item)
    return f"child said {order}"


@workflow(budget=Budget(attempts=1))
async def frugal(item: str) -> float:
    first = await price(item)
    second = await price(item + item)
    return first.price + second.price


@session(state=Progress)
async def counter(state: Progress, note: Note) -> str:
    state.done += 1
    order = await price(note.text)
    return f"{state.done} {order.item}"
