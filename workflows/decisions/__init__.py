"""Decisions of a run about every input. Pure."""
