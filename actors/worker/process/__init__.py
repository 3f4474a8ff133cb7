"""What a function may change in its worker's process, and what of it is undone after each attempt."""
