"""Decisions about processes: when to restart, whom to charge, what an exit means. Pure."""
