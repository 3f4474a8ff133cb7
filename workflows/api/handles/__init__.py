"""Handles on runs, sessions and schedules, each with its twin for asynchronous code."""
