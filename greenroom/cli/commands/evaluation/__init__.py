"""``greenroom eval``: cases through a workflow, or past runs scored again."""
