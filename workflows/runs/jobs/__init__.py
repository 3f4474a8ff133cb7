"""Jobs that a run has in pools: its program, its steps, its evaluations."""
