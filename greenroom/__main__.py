"""``python -m greenroom`` and the ``greenroom`` command."""

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: Arguments after the command's name; None means those of the process.
    """
    try:
        from greenroom.cli import app
    except KeyboardInterrupt:  # before there is a command that could say what it has done
        sys.stderr.write("greenroom: interrupted\n")
        return 130
    return app.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
