"""Options of steps, workflows, sessions and models: retries, limits, budgets."""
