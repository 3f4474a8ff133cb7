"""The parts of every message: the base model, its fields, and JSON text."""
