"""Workers of a pool: their starts, restarts, checks, and the jobs that each one has."""
