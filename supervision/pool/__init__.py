"""One pool: its workers, their restarts, and the jobs that they are given. Reactor thread only."""
