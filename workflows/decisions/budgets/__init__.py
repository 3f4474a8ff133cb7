"""Budgets: what may still be spent, and what stops a run that has spent it."""
