"""Who may call the HTTP API, and how much one caller may take."""
