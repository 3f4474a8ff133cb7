"""Subscribers of runs, who are called after commits and at the end."""
