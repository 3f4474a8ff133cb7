"""Agents written with other libraries, made durable. Each library has a package here and an extra of its own."""
