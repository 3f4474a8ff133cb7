"""Schedules: an actor for each that has something to do, and the registry that wakes them."""
