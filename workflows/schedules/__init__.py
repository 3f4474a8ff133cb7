"""What a schedule is: its events, its decisions, when it is due. Pure."""
