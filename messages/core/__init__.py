"""What every message is made of: the base model, its fields, and JSON text."""
