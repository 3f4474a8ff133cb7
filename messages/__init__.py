"""Typed messages: commands, replies, events, failures, the envelope around them, and the codec.

All that processes say to each other, and all that the journal holds, is one of these frozen models. The package imports
no other one of the project. ``events`` are in the journal, ``frames`` on a worker's socket, ``commands`` come from
people and programs, and ``records`` are what those read.
"""
