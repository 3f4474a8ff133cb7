"""Evaluation of answers: which are rated in the background, and what scores mean."""
