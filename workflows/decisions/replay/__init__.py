"""The past of a run: its calls in order, where a retry goes on, what a fork shares. Pure."""
