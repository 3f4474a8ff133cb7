"""What an app defines: workflows, steps and sessions, and how each is found again in another process."""
