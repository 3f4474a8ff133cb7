"""Events of the journal: a module each for runs, waits, steps, sessions and schedules."""
