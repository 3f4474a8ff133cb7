"""Runs that are alive: their actors, the registry of them, and how they start."""
