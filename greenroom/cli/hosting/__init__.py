"""Being an orchestrator for one command, or following one that runs already."""
