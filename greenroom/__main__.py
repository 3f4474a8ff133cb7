"""``python -m greenroom`` and the ``greenroom`` command."""

import sys

from greenroom.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
