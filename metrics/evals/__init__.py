"""Evaluations of many runs: statistics, and the report that ``greenroom eval`` shows. Pure."""
