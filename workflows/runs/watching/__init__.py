"""Subscribers of runs, and copies of what is in memory."""
