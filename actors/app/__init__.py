"""The app of a worker: how it is loaded, and what an orchestrator may ask about it."""
