"""Decisions about messages: the mailbox, what is sent, streams, turns of sessions. Pure."""
