"""Hosting an orchestrator for one command, or following one that already runs."""
