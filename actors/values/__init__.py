"""Users' values as JSON and back, and the check that they come back as they were."""
