"""A pool: its workers, their restarts, and its jobs. Reactor thread only."""
