"""Decisions about messages: the mailbox, messages to others, streams, turns of sessions. Pure."""
