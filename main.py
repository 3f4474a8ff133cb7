"""The command line of a checkout: ``python main.py demo`` is ``understudy demo``."""

import sys

from understudy.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
