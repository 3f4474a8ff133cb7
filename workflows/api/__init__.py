"""What programs hold: the orchestrator, its asynchronous twin, and waiting for runs. Thread-safe."""
