"""Detection of damage to a journal: hash chains, checksums, and the note of its last event."""
