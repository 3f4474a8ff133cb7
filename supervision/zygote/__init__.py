"""Where worker processes come from: a fork server that has imported the app, and what guards it."""
