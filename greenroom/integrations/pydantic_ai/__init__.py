"""Pydantic AI agents whose model requests and tool calls are journaled steps in processes of their own.

One line makes an agent durable::

    agent = Agent("openai:gpt-5", name="support", capabilities=[GreenroomDurability()])

Awaited inside a ``@workflow``, ``agent.run(...)`` then survives every process. Awaited anywhere else, the agent runs as
it does without the capability.
"""

try:
    from greenroom.integrations.pydantic_ai.approvals import ask_approvals
    from greenroom.integrations.pydantic_ai.durability import GreenroomDurability
except ImportError as error:
    if not (error.name or "").startswith("pydantic_ai"):
        raise
    msg = (
        "durable agents of Pydantic AI need pydantic-ai-slim 2.62 or later: run "
        f"`pip install 'greenroom[pydantic-ai]'` ({error})"
    )
    raise ImportError(msg, name=error.name) from error

__all__ = ["GreenroomDurability", "ask_approvals"]
