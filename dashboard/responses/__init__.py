"""Responses: problems, and bodies too long to be made at once."""
