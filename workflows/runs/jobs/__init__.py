"""Jobs that a run has given to pools: its program, its steps, its evaluations."""
