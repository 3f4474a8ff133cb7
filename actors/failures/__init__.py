"""Conversion of exceptions to data, and of that data back to exceptions."""
