"""The orchestrator of another process, over HTTP, with the methods of one in this process."""
