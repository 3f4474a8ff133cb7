"""``greenroom sessions``: durable actors, each identified by name and key: their messages and replies."""
