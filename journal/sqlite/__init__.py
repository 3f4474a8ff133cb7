"""The journal in one SQLite file: group commit, one connection that writes, any number that read."""
