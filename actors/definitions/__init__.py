"""Workflows, steps and sessions that an app defines, and the references by which every process finds them."""
