"""Command line of a checkout: ``python main.py demo`` runs ``greenroom demo``."""

import sys

from greenroom.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
