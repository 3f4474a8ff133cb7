"""Whether an app is being imported in this process, and how a script that starts an orchestrator ends its import."""

loading: bool = False
"""True while an app is imported in this process. Starting an orchestrator then raises ``ImportEnded`` instead."""


class ImportEnded(BaseException):
    """Ends the import of a script where it starts an orchestrator, since all its definitions exist by then.

    So a script that embeds ``Orchestrator`` needs no ``__main__`` guard.
    """
