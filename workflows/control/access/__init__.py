"""The way in for other processes of the same user: the control socket."""
