"""``greenroom runs``: reading runs from the journal, with or without an orchestrator, and controlling them."""
