"""The control plane: commands, apps, and the parts of an orchestrator."""
