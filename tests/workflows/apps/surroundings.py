"""A workflow that tells what its tool's process has inherited."""

import os
import sys
from pathlib import Path

import psutil

from greenroom import tool, workflow


@tool
def look(variable: str) -> dict[str, object]:
    """Give a variable, the working folder, whether it is on the import path, and the pids of all above the process."""
    return {
        "variable": os.environ.get(variable),
        "folder": str(Path.cwd()),
        "path": sys.path,
        "above": [parent.pid for parent in psutil.Process().parents()],
    }


@workflow
async def surroundings(variable: str) -> dict[str, object]:
    """Ask a tool."""
    return await look(variable)
