"""The output of workers: cut into lines, kept in files, shown."""
