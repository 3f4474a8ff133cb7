"""Verbs that serve an orchestrator to other programs."""
