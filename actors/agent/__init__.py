"""Agents: models that use tools. Their loop runs in the program; each model call and tool call is a step."""
