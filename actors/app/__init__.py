"""The user's app in a worker: loading it, warming the zygote up, answering questions about it."""
