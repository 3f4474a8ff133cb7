"""What a worker process may use, applied by itself between its fork and its first message."""

import contextlib
import os
import resource
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from understudy.messages.policy import Limits

HARMLESS_ENVIRONMENT: Final = frozenset(
    {
        "HOME",
        "LANG",
        "LANGUAGE",
        "LD_LIBRARY_PATH",
        "LOGNAME",
        "PATH",
        "SHELL",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "TERM",
        "TMPDIR",
        "TZ",
        "USER",
        "VIRTUAL_ENV",
    }
)
"""Variables that every worker sees; the locale's ``LC_*`` and the interpreter's ``PYTHON*`` come with them."""
_HARMLESS_PREFIXES: Final = ("LC_", "PYTHON")

OOM_SCORE_STEP: Final = 300
"""How much sooner than its orchestrator the kernel kills a worker when memory runs out."""


def allowed_environment(source: Mapping[str, str], names: Iterable[str] = ()) -> dict[str, str]:
    """Give the part of ``source`` that processes under us may see: what is harmless and what ``names`` lists."""
    wanted = HARMLESS_ENVIRONMENT.union(names)
    return {name: value for name, value in source.items() if name in wanted or name.startswith(_HARMLESS_PREFIXES)}


def apply_limits(limits: Limits) -> None:
    """Bind this process and all that it starts. Memory counts what is allocated, in MiB, not what is reserved.

    RLIMIT_DATA and not RLIMIT_AS: under the latter each thread's reserved stack counts, and few threads can start.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    if limits.memory_mb is not None:
        _limit(resource.RLIMIT_DATA, limits.memory_mb * 1024 * 1024)
    if limits.cpu is not None:
        seconds = max(1, round(limits.cpu))
        _limit(resource.RLIMIT_CPU, seconds, seconds + 1)  # SIGXCPU at the first, which says why, SIGKILL at the second
    if limits.workdir is not None:
        os.chdir(limits.workdir)


def _limit(which: int, soft: int, hard: int | None = None) -> None:
    """Lower a limit; one that is lower already stays."""
    hard = soft if hard is None else hard
    ceiling = resource.getrlimit(which)[1]
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(which, (soft, hard))


def volunteer_for_oom_kill() -> None:
    """Have the kernel prefer this process to its orchestrator when memory runs out."""
    file = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(PermissionError):  # some sandboxes refuse; the worker then ranks with its orchestrator
        file.write_text(str(min(1000, int(file.read_text(encoding="ascii")) + OOM_SCORE_STEP)), encoding="ascii")
