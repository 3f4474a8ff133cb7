"""The output of workers: cut into lines, kept, shown."""
