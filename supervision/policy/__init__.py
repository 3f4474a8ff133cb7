"""Decisions about processes: when to restart, which job to charge, what an exit means. Pure."""
