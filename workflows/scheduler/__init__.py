"""Schedules that are alive: an actor for each, and what wakes them."""
