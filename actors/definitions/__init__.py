"""What an app defines: workflows, steps and sessions, and how another process finds each of them."""
