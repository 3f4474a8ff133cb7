"""Typed messages: commands, replies, events, failures, their envelope, and the codec.

Everything that crosses processes or enters the journal is one of these frozen models. This package is the lowest layer
of the project and imports no other part of it.
"""
