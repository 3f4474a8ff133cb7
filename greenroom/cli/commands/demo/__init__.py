"""The demo: its verb, its app and its document."""
