"""An agent that uses an MCP server which is installed nowhere."""

from greenroom import LLM, OutcomeUnknown, mcp, workflow

desk = mcp("desk", command=["the-server-of-the-desk-that-nobody-has-installed"], timeout=20, approve=["refund"])
clerk = LLM("clerk", tools=[desk])


@workflow
async def serve(wish: str) -> str:
    return await clerk(wish)


@workflow
async def refund(order: int) -> str:
    try:
        return str(await desk.call("refund", order=order))
    except OutcomeUnknown:
        return "unknown"


@workflow
async def look(order: int) -> str:
    return str(await desk.call("look", order=order))
