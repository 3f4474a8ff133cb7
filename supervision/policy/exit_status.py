"""How a process ended, read from what the kernel said of it, what we did to it, and the evidence it left. Pure."""

import os
import re
import signal
from dataclasses import dataclass
from typing import Final

from greenroom.messages.core.failures import Exit

STOPPING: Final = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
_ORNAMENT: Final = re.compile(r"[\s^~|+\-=.]*")
_NEAR: Final = 0.9
"""Share of its memory limit that a process has reached when its unexplained death is put down to memory."""
_OUT_OF_MEMORY_TEXTS: Final = ("MemoryError", "std::bad_alloc", "Cannot allocate memory", "memory allocation of")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one life that has ended.

    Attributes:
        status: Wait status as ``wait4`` gives it, or None where nobody could tell.
        reason: Why we killed it, where we did.
        spoke: Whether it sent any message.
        injected: Signals that an operator or a fault test sent it. One that it lived on with explains no
            later end.
        stderr: The last part of what it wrote there.
        peak_memory_mb: Largest resident size in MiB, where known.
        cpu: CPU seconds, where known.
        memory_limit_mb: Its data limit in MiB, or None.
        kernel_oom: Whether a kill of the kernel's for want of memory, in our control group, explains the end.
        backend_lost: Why the process that forked it is gone, where it is.
    """

    status: int | None
    reason: Exit | None = None
    spoke: bool = True
    injected: tuple[int, ...] = ()
    stderr: str = ""
    peak_memory_mb: float | None = None
    cpu: float | None = None
    memory_limit_mb: int | None = None
    kernel_oom: bool = False
    backend_lost: str = ""


def describe(evidence: Evidence) -> Exit:
    """Return the end of a life as a value.

    A reason of ours names the kind. Else a lost backend does. Else the process's own doing: out of memory, an exit
    before its first message (``start_failed``), an exit, a signal.
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
    detail = "its CPU seconds were used up" if number == signal.SIGXCPU else ""
    return facts.model_copy(update={"kind": "signaled", "detail": detail})


def _is_injected(evidence: Evidence, number: int | None) -> bool:
    """Return whether an injected signal is what ended it: that very one, or one that stopped it until we ended it."""
    if evidence.reason is not None:
        return any(sent in STOPPING for sent in evidence.injected)
    return number is not None and number in evidence.injected


def last_words(stderr: str) -> str:
    """Return the line of a stderr in which a program says why it ended; empty where there is none.

    That is faulthandler's, or the first line at the margin after the frames of the last traceback, as its message may
    have more lines. Not the last line as such, which may be a frame or a row of carets.
    """
    lines = [line for line in stderr.splitlines() if not _ORNAMENT.fullmatch(line)]
    for place, line in reversed(list(enumerate(lines))):
        if line.startswith("Fatal Python error"):
            return line
        if line.startswith("Traceback (most recent call last)"):
            return next((after for after in lines[place + 1 :] if not after[0].isspace()), "")
    return lines[-1].strip() if lines else ""


def _raised(stderr: str) -> str:
    """Name the exception that ended a process, with its message; nothing where it was none, as with ``os._exit``."""
    words = last_words(stderr) if "Traceback (most recent call last)" in stderr else ""
    ending = stderr.rstrip().rpartition("\n")[2]
    return (ending if ending.startswith("SystemExit: ") else words)[:300]


def _out_of_memory(evidence: Evidence, code: int | None, number: int | None) -> str:
    """Return how it is known that memory ended it, or nothing."""
    if code == 0:
        return ""
    limit, peak = evidence.memory_limit_mb, evidence.peak_memory_mb
    near = limit is not None and peak is not None and peak >= _NEAR * limit
    if number == signal.SIGKILL:
        if evidence.kernel_oom:
            return "the kernel killed it because memory ran out"
        return f"killed by a signal nobody here sent, at {peak:.0f} MiB of {limit} MiB" if near else ""
    said = _last_lines(evidence.stderr)
    if any(text in said for text in _OUT_OF_MEMORY_TEXTS):
        return f"an allocation failed under its limit of {limit} MiB" if limit is not None else "an allocation failed"
    if near and number is not None and number in {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS}:
        return f"{signal_name(number)} at {peak:.0f} MiB of {limit} MiB"
    return ""


def _last_lines(text: str) -> str:
    """Return the three lines, before faulthandler's dump where there is one, in which a dying program says why."""
    before, mark, _ = text.rpartition("Fatal Python error")
    return "\n".join((before if mark else text).rstrip().splitlines()[-3:])


def signal_name(number: int) -> str:
    """Name a signal, as ``"SIGKILL"``; real-time signals by their number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
