"""Find the cause of a process's end from its wait status, our own signals, and its output. Pure."""

import os
import re
import signal
from typing import Final

from greenroom.messages.core.failures import Exit
from greenroom.messages.core.frozen import frozen

STOPPING: Final = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
_ORNAMENT: Final = re.compile(r"[\s^~|+\-=.]*")
_NEAR: Final = 0.9
"""Share of its memory limit that a process must have reached for an unexplained death to count as out of memory."""
MORE_MEMORY: Final = "`memory_mb=` gives it more"
_OUT_OF_MEMORY_TEXTS: Final = ("MemoryError", "std::bad_alloc", "Cannot allocate memory", "memory allocation of")
_NO_OBJECT: Final = "PyObject pointer is null"
"""What code in Rust, such as pydantic's, panics with where Python made no object. The reason is printed before."""


@frozen
class Evidence:
    """The known facts about a process that has ended.

    Attributes:
        status: Wait status as ``wait4`` returns it, or None if it is unknown.
        reason: Why the orchestrator killed the process, or None if it did not.
        spoke: Whether the process sent any message.
        injected: Signals that an operator or a fault test sent to the process. A signal that it has survived does not
            explain a later end.
        stderr: The last part of its stderr.
        peak_memory_mb: Largest resident size in MiB, if known.
        cpu: CPU seconds, if known.
        memory_limit_mb: Its data limit in MiB, or None.
        cpu_limit: Its limit of CPU seconds, or None.
        kernel_oom: Whether an out-of-memory kill by the kernel in our control group explains the end.
        backend_lost: Why its zygote is gone, if it is.
    """

    status: int | None
    reason: Exit | None = None
    spoke: bool = True
    injected: tuple[int, ...] = ()
    stderr: str = ""
    peak_memory_mb: float | None = None
    cpu: float | None = None
    memory_limit_mb: int | None = None
    cpu_limit: float | None = None
    kernel_oom: bool = False
    backend_lost: str = ""


def describe(evidence: Evidence) -> Exit:
    """Return the ``Exit`` of a process.

    The kind is that of the orchestrator's own reason, if there is one. Otherwise it is that of a lost backend. If there
    is neither, the process itself ended: out of memory or CPU seconds, before its first message (``start_failed``), by
    an exit, or by a signal.
    """
    status = evidence.status
    code = os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else None
    number = os.WTERMSIG(status) if status is not None and os.WIFSIGNALED(status) else None
    injected = _is_injected(evidence, number)
    facts = Exit(
        kind="exited",
        code=code,
        signal=None if number is None else signal_name(number),
        core_dumped=status is not None and number is not None and os.WCOREDUMP(status),
        injected=injected,
        stderr=evidence.stderr,
        peak_memory_mb=evidence.peak_memory_mb,
        cpu=evidence.cpu,
    )
    if evidence.reason is not None:
        reason = evidence.reason
        return facts.model_copy(
            update={
                "kind": reason.kind,
                "detail": reason.detail,
                "refused": reason.refused,
                "injected": reason.injected or injected,
            }
        )
    if status is None or evidence.backend_lost:
        return facts.model_copy(update={"kind": "backend_lost", "detail": evidence.backend_lost})
    memory = "" if injected else _out_of_memory(evidence, code, number)
    if memory:
        return facts.model_copy(update={"kind": "out_of_memory", "detail": memory})
    if code is not None:
        if evidence.spoke:
            return facts.model_copy(update={"detail": _raised(evidence.stderr) if code else ""})
        return facts.model_copy(
            update={"kind": "start_failed", "detail": f"exited with code {code} before it was ready"}
        )
    ran_out = number == signal.SIGXCPU and not injected
    return facts.model_copy(update=_out_of_cpu(evidence.cpu_limit) if ran_out else {"kind": "signaled"})


def _out_of_cpu(limit: float | None) -> dict[str, str]:
    """Return the fields of the end of a process that the kernel killed for its use of the CPU."""
    return {"kind": "cpu_limit", "detail": "" if limit is None else f"its limit is {limit:g} s; `cpu=` gives it more"}


def _is_injected(evidence: Evidence, number: int | None) -> bool:
    """Return whether an injected signal caused the end: it killed the process, or stopped it until we killed it."""
    if evidence.reason is not None:
        return any(sent in STOPPING for sent in evidence.injected)
    return number is not None and number in evidence.injected


def last_words(stderr: str) -> str:
    """Return the line of a stderr that states why the program ended; empty if there is none.

    This is faulthandler's first line, or the first unindented line after the frames of the last traceback, as its
    message may have several lines. Without either, it is the last line that is no ornament such as a row of carets.
    """
    lines = _told(stderr)
    for place, line in reversed(list(enumerate(lines))):
        if line.startswith("Fatal Python error"):
            return line
        if line.startswith("Traceback (most recent call last)"):
            return next((after for after in lines[place + 1 :] if not after[0].isspace()), "")
    return lines[-1].strip() if lines else ""


def _told(stderr: str) -> list[str]:
    """Return the lines that are no ornament."""
    return [line for line in stderr.splitlines() if not _ORNAMENT.fullmatch(line)]


def own_words(stderr: str) -> str:
    """Return the sentence with which a worker ended itself, and the last line that was written before it."""
    lines = _told(stderr) or [""]
    words = lines[-1].strip().removeprefix("SystemExit: ").rstrip(".")
    before = lines[-2].strip()[:300] if len(lines) > 1 else ""
    return f'{words}; the line before that is "{before}"' if before and before not in words else words


def _raised(stderr: str) -> str:
    """Return the exception that ended a process, with its message; empty if there was none, as with ``os._exit``."""
    words = last_words(stderr) if "Traceback (most recent call last)" in stderr else ""
    ending = stderr.rstrip().rpartition("\n")[2]
    return (ending if ending.startswith("SystemExit: ") else words)[:300]


def _out_of_memory(evidence: Evidence, code: int | None, number: int | None) -> str:
    """Return the evidence that the process ran out of memory; empty if there is none."""
    if code == 0:
        return ""
    limit, peak = evidence.memory_limit_mb, evidence.peak_memory_mb
    near = limit is not None and peak is not None and peak >= _NEAR * limit
    if number == signal.SIGKILL:
        if evidence.kernel_oom:
            return "the kernel killed it because memory ran out"
        return f"killed by a signal nobody here sent, at {peak:.0f} MiB of {limit} MiB; {MORE_MEMORY}" if near else ""
    said = _last_lines(evidence.stderr)
    if any(text in said for text in _OUT_OF_MEMORY_TEXTS) or (_NO_OBJECT in said and "MemoryError" in evidence.stderr):
        return (
            f"an allocation failed under its limit of {limit} MiB; {MORE_MEMORY}"
            if limit is not None
            else "an allocation failed"
        )
    if near and number is not None and number in {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS}:
        return f"{signal_name(number)} at {peak:.0f} MiB of {limit} MiB; {MORE_MEMORY}"
    return ""


def _last_lines(text: str) -> str:
    """Return the three lines before faulthandler's dump, or the last three lines of a text without a dump."""
    before, mark, _ = text.rpartition("Fatal Python error")
    return "\n".join((before if mark else text).rstrip().splitlines()[-3:])


def signal_name(number: int) -> str:
    """Return the name of a signal, such as ``"SIGKILL"``; real-time signals are named by their number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
