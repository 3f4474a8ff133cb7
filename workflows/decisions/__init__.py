"""What a run does about everything that can happen to it. Pure."""
