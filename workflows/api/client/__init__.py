"""An orchestrator in another process, over HTTP."""
