"""What every message is made of: the base model, its fields, times, errors, failures, and JSON text."""
