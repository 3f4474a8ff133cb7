"""Detection of secrets, and their redaction from texts."""
