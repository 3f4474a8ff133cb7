"""Jobs of a pool: which worker takes one, when its time is over, and what becomes of it when the worker dies."""
