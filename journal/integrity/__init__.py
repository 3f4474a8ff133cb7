"""How damage to a journal is found: hash chains, checksums, and how far the journal reached."""
