"""The event loop of programs: asyncio with durable timers, in an order that a replay repeats."""
