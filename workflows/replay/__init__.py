"""The history of a run: its calls in order, retry points, forks, and what a replay is compared with. Pure."""
