"""Exceptions as data, and as exceptions again."""
