"""Process backends: the zygote, which has imported the app and forks workers, and its keeper."""
