"""Frames between the orchestrator and its workers."""
