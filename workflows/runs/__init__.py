"""Live runs: their actors, the registry, the message router, starts, retries and forks. Reactor thread only."""
