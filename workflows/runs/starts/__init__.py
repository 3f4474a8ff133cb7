"""How runs come into memory: started, forked, retried, or found in the journal."""
