"""What a run has asked pools to do: its program, its steps, its evaluations."""
