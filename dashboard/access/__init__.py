"""Who may call the HTTP API, and how much one caller may use: token, origins, connections, parameters."""
