"""What the journal holds: one module of events for runs, steps, sessions and schedules each."""
