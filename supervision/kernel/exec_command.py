"""The command lines of our processes that run in new interpreters. Other processes recognise ours by them."""

import sys
from typing import Final

BOOTSTRAP: Final = (
    "import sys; sys.path[:] = sys.argv.pop().split(chr(10)); "
    "from greenroom.supervision.zygote.{module} import main; main()"
)
"""Program text for ``python -c``: the import path is the last argument, one entry per line."""
EXECUTED: Final = ("keeper", "exec_worker")
"""The modules that are run this way."""


def command(module: str, lineage: str, arguments: list[str], path: list[str]) -> list[str]:
    """Return the command line that runs ``main`` of a module of ``supervision.zygote`` in a fresh interpreter."""
    return [sys.executable, "-c", BOOTSTRAP.format(module=module), lineage, *arguments, "\n".join(path)]
