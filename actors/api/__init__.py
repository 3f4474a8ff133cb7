"""Functions for workflow and step code: approve, emit, receive, signal, current, now."""
