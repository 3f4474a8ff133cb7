"""Decisions about runs: from state and input to events and effects. Pure."""
