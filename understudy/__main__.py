"""``python -m understudy`` and the ``understudy`` command."""

import sys

from understudy.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
