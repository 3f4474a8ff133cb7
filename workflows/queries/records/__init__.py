"""Records that reads return, made from the state of runs and sessions."""
