"""Which values are secrets, and how they are kept out of texts."""
