"""Live schedules: an actor for each, their registry, and the alarm that wakes them."""
