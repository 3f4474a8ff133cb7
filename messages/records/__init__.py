"""What reads return: runs, steps, attempts, evaluations, approvals, in pages."""
