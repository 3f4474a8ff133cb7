"""What can be read of runs, with or without an orchestrator."""
