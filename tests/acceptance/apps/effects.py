"""The effect log: one line per thing a step did, on the disk before the step goes on. No code of the engine writes it."""

import json
import os
from pathlib import Path
from typing import Any

from greenroom import current


def effect(path: str | Path, what: str, **facts: Any) -> None:
    """Append one line about the running attempt. A single write, so that lines of several processes never mix."""
    here = current()
    line = {
        "what": what,
        "run": here.run_id,
        "step": here.step,
        "attempt": here.attempt,
        "token": here.token,
        "pid": os.getpid(),
    }
    append(path, json.dumps(line | facts))


def append(path: str | Path, line: str) -> None:
    """Append one line and wait until it is on the disk."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode() + b"\n")
        os.fsync(file)
    finally:
        os.close(file)


def effects(path: str | Path) -> list[dict[str, Any]]:
    """Read the effect log; a last line that is not whole yet is left out."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
