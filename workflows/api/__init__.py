"""What programs hold: the orchestrator and the handles on runs, sessions and schedules."""
