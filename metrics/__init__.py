"""Figures folded from events, samples of processes, and the structured log. Reads everything, changes nothing."""
