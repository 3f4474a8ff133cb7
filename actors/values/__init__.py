"""Users' values as JSON and back, and what of them would be lost on the way."""
