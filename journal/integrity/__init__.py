"""How damage to a journal is noticed: hash chains, checksums, and how far the journal reached."""
