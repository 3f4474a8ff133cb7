"""The event loop that the orchestrator's actors share."""
