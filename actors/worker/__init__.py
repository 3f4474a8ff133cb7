"""Code of the worker processes: their main function, their socket, and one actor for each kind of worker."""
