"""Conversion of messages to bytes and back: of workers' frames, of commands, and of events."""
