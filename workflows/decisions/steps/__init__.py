"""Decisions about steps: attempts, retries, verdicts. Pure."""
