"""The home folder of an orchestrator: its files, its lock, and the settings of a project."""
