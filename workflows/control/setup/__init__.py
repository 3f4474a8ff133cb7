"""What is decided and claimed before an orchestrator starts."""
