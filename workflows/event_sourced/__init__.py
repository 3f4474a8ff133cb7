"""What runs and schedules have in common: actors whose state is a fold of recorded events, and a registry of them."""
