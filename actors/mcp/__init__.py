"""Servers of the Model Context Protocol: their definition, their process, and the connection to them."""
