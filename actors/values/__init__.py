"""Conversion of users' values to JSON and back, and detection of what would be lost."""
