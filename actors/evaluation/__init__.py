"""Evaluators that this package brings: judges, rules, and how a panel's scores become one."""
