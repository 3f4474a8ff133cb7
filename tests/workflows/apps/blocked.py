"""An app whose import in another process waits for a gate."""

import os
from pathlib import Path

from greenroom import workflow

if "BLOCKED_GATE" in os.environ:
    Path(os.environ["BLOCKED_GATE"]).read_text()


@workflow
async def after() -> int:
    return 7
