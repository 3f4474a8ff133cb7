"""The parts of an orchestrator: engine, commands, control socket, questions to apps, replay check."""
