"""Output of the command line: tables and progress on a terminal, JSON and plain lines in a pipe."""
