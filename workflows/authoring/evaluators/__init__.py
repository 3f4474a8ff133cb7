"""Evaluators that authors make of what this package brings: judges, rules, panels, persons."""
