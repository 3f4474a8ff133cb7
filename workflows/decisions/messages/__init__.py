"""Decisions about messages: mailbox, outbox, streams, turns of sessions. Pure."""
