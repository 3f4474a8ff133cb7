"""Figures folded from events, samples of processes, and the structured log."""
