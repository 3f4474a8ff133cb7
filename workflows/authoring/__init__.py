"""What authors of apps write: decorators, steps, workflows, sessions."""
