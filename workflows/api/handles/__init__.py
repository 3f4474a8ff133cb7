"""Handles on runs, sessions and schedules, each with a twin for asynchronous code."""
