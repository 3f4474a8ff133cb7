"""The state of a run, and the fold that changes it by each event. Pure."""
