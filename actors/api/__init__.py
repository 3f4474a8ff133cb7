"""Functions that workflow and step code calls: approve, emit, receive, signal, current, now, random, uuid4."""
