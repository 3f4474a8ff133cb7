"""Checks with an app's code: of inputs before they are recorded, and of recorded runs against the present code."""
