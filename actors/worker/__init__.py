"""A worker process from the inside: its main function, its socket, and one actor for each kind of worker."""
