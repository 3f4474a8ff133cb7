"""What the orchestrator and its workers send each other."""
