"""Queries about runs, answered from the journal with or without an orchestrator."""
