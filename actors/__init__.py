"""Code that runs inside worker processes: the worker's main loop, its actor, and the definitions of the user's app."""
