"""The control plane: what authors write, and what takes their runs from submission to the end."""
