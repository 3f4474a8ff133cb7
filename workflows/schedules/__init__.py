"""What a schedule is: its fold, its decisions, when it is due. Pure, except its queries."""
