"""What runs inside a worker process: its host, its actor, and what the app defines for them to run."""
