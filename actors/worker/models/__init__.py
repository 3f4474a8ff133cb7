"""Workers that call models: their actor, the requests, and what an answer means."""
