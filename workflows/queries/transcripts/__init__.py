"""Conversations with models, read from the events of runs and sessions."""
