"""The workers of one pool and the jobs that they are given."""
