"""The embedded mock model, which answers from the prompt alone, without a network or a key."""
