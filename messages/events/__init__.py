"""Events of the journal, one module for each of runs, steps, sessions and schedules."""
