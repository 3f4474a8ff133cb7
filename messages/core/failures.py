"""Failures as data: of an attempt, and of a process."""

import re
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from pydantic import Field, field_validator

from greenroom.messages.core.former_name import FORMER, present_class
from greenroom.messages.core.message import Message, Shown

Outcome: TypeAlias = Literal["ok", "error", "timeout", "invalid", "crash", "rejected", "cancelled"]
"""How an attempt ended. The names are part of the public contract."""

HEADER: Final = "Traceback (most recent call last):\n"

_FATAL: Final = "Fatal Python error"
"""First words of a dump by faulthandler, which lists the newest frame first."""
_PARTS: Final = rf"({FORMER}|greenroom)/(actors|messages|supervision|tools|workflows)"
_OURS: Final = re.compile(rf'  File "[^"]*/({_PARTS}|asyncio|concurrent/futures|importlib)/[^"]*"')
_LIBRARY: Final = re.compile(r"/lib(64)?/python3\.\d+/")
_FRAME: Final = re.compile(r'  File "([^"]+)", line (\d+)')
_LAST_WORDS: Final = 4096
"""Longest last output of a dying process that is searched, in characters."""

ExitKind: TypeAlias = Literal[
    "exited",
    "signaled",
    "out_of_memory",
    "cpu_limit",
    "process_limit",
    "hung",
    "timeout",
    "blocked",
    "garbage",
    "start_failed",
    "backend_lost",
    "orchestrator_lost",
    "stopped",
]


class Exit(Message):
    """The end of a worker process: what the kernel reported, what the supervisor did, and the evidence that is left.

    ``kind`` is the interpretation. ``exited`` and ``signaled`` are the process's own doing. The kernel ended it for
    ``cpu_limit``, and the supervisor for ``process_limit``, limits that its author has set. The supervisor ended it for
    ``hung`` (no heartbeat and no CPU progress), ``timeout`` (an attempt took too long) and ``blocked`` (a program
    blocked its loop). It also ended it for ``garbage`` (bytes that are not a message) and ``stopped`` (a planned
    shutdown). ``backend_lost`` and ``orchestrator_lost`` are not the fault of any user code.
    """

    kind: ExitKind
    code: int | None = None
    """Exit status 0 to 255 if the process exited, otherwise None."""
    signal: str | None = None
    """Signal name such as ``"SIGKILL"`` if a signal ended it, otherwise None."""
    core_dumped: bool = False
    injected: bool = False
    """True if an operator or a fault test caused this end; such ends never count against a step."""
    refused: bool = False
    """With ``start_failed``: the kernel refused a resource that a process needs (processes, memory, descriptors)."""
    detail: str = ""
    """One sentence for a person."""
    stderr: str = ""
    """The end of the process's stderr, including faulthandler's dump."""
    peak_memory_mb: float | None = None
    """Largest resident size in MiB, from the kernel's accounting."""
    cpu: float | None = None
    """CPU seconds, user and system."""

    def sentence(self) -> str:
        """Return in a few words how the process ended, for logs and errors."""
        how = {
            "exited": f"exited with code {self.code}",
            "signaled": f"was killed by {self.signal}",
            "out_of_memory": "ran out of memory",
            "cpu_limit": "used up its CPU seconds and was killed",
            "process_limit": "had too many processes and was killed with them",
            "hung": "hung",
            "timeout": "overran its time and was killed",
            "blocked": "blocked its event loop and was killed",
            "garbage": "sent bytes that are not a message and was killed",
            "start_failed": "failed to start",
            "backend_lost": "died with the process that forked it",
            "orchestrator_lost": "died with its orchestrator",
            "stopped": "was stopped",
        }[self.kind]
        return f"{how} ({self.detail})" if self.detail else how

    def stood(self) -> tuple[str, str]:
        """Return the stack and the place in user code at which the process died, from its last output.

        Both are empty if the output does not show them, as after a kill.
        """
        start = max(self.stderr.rfind(_FATAL), self.stderr.rfind(HEADER))
        if self.injected or self.kind not in {"exited", "signaled", "out_of_memory"} or start < 0:
            return "", ""
        shown: list[str] = []
        ours = False
        for line in self.stderr[start : start + _LAST_WORDS].rstrip().splitlines():
            ours = _OURS.match(line) is not None or (ours and line.startswith("    "))  # and the source line
            if not ours:
                shown.append(line)
        frames = [found.groups() for found in map(_FRAME.match, shown) if found is not None]
        text = "\n".join(shown) if frames else ""
        frames = [each for each in frames if _LIBRARY.search(each[0]) is None] or frames
        file, number = (frames[0] if text.startswith(_FATAL) else frames[-1]) if frames else ("", "")
        return text, f"{file}:{number}" if file else ""


class Failure(Message):
    """Why an attempt has no result. Exceptions and crashes are both described by this record.

    ``classes`` names the exception's class and its bases as ``module.qualname``, most derived first. So a retry policy
    can be applied without having the class.
    """

    outcome: Outcome
    type: str = ""
    """Name of the exception class for ``error``, otherwise empty."""
    message: str = ""
    traceback: str = ""
    """The traceback as Python prints it, with only the frames of user code. Older journals hold only those frames."""
    place: str = ""
    """The place in user code where it was raised: ``/path/app.py:31``."""
    classes: tuple[str, ...] = ()
    fatal: bool = False
    """True if the step itself reported that another attempt is useless."""
    retry_after: float | None = None
    """Seconds that the step asked to wait before the next attempt."""
    exit: Exit | None = None
    raw: Shown = None
    """For ``invalid`` model output: the rejected text, shortened."""
    args: tuple[Shown, ...] | None = None
    """The exception's arguments, or its text if they are not JSON. None if there was no exception, and in older
    journals. For those a workflow receives only ``StepFailed``, as it did then, so that a replay takes the same
    path."""
    fields: dict[str, Shown] = Field(default_factory=dict)
    """The exception's attributes, as far as they are JSON and short."""
    text_lost: bool = False
    """True if an exception with these ``args`` and ``fields`` alone would have another text than it had, or none."""
    notes: tuple[str, ...] = ()
    """Notes added with ``add_note``."""
    members: tuple["Failure", ...] = ()
    """The first members of an exception group. Their tracebacks are part of the group's."""

    @field_validator("classes")
    @classmethod
    def _present(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """Name our classes as they are named now, so that what an older journal holds is raised as the same class."""
        return tuple(map(present_class, names))

    def sentence(self) -> str:
        """Return in one line what went wrong."""
        if self.exit is not None and self.outcome in {"crash", "timeout"}:
            return self.message or f"the worker {self.exit.sentence()}"
        return ": ".join(part for part in (self.type, self.message) if part)

    def told(self) -> str:
        """Return in one line what went wrong, and where: ``KeyError: 'colour' (/path/app.py:31)``."""
        said = self.sentence()
        return f"{said} ({self.place})" if self.place and self.place not in said else said

    def report(self) -> str:
        """Return the traceback as Python prints it, ending with the exception's line; empty if there is none."""
        if not self.traceback.startswith("  File "):
            return self.traceback.rstrip("\n")
        return f"{HEADER}{self.traceback.rstrip()}\n{self.sentence()}"  # from an older journal


MOST_FAULTS: Final = 20
"""Most faults of one value that are named."""
LONGEST_PLACE: Final = 200
"""Most characters of a fault's place, which may be a key of the value."""
LONGEST_SENTENCE: Final = 2_000
"""Most characters of what is wrong there, which may come from a validator of the user."""


class Fault(Message):
    """One fault of a value: the place, and what is wrong there."""

    field: str
    sentence: str


def first_faults(found: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return as many faults as a person reads, each at a readable length, and how many more there are.

    A long list in which every item is wrong has more faults, as text, than a message between processes may have.
    """
    shown = tuple((place[:LONGEST_PLACE], what[:LONGEST_SENTENCE]) for place, what in found[:MOST_FAULTS])
    rest = len(found) - len(shown)
    return (*shown, ("", f"and {rest} more")) if rest else shown


def one_line(faults: tuple[Fault, ...]) -> str:
    """Return faults in one line."""
    return "; ".join(f"{fault.field}: {fault.sentence}" if fault.field else fault.sentence for fault in faults)
