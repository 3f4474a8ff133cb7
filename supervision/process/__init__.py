"""One worker process: its set-up after the fork, its limits, its socket, its output."""
