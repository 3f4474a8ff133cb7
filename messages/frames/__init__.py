"""Frames that the orchestrator and its workers send each other."""
