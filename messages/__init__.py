"""Typed messages: commands, replies, events, failures, the envelope they cross boundaries in, and the codec.

Everything that is said between processes, and everything the journal holds, is one of these frozen models. This package
is the ground of the project and imports nothing of it.
"""
