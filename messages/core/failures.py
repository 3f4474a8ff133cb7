"""How work goes wrong, as data: the failure of an attempt and the end of a process."""

import re
from typing import Final, Literal, TypeAlias

from pydantic import Field, field_validator

from greenroom.messages.core.message import Message, Shown
from greenroom.messages.former_name import FORMER, present_class

Outcome: TypeAlias = Literal["ok", "error", "timeout", "invalid", "crash", "rejected", "cancelled"]
"""How an attempt ended. The names are part of the public contract."""

HEADER: Final = "Traceback (most recent call last):\n"

_FATAL: Final = "Fatal Python error"
"""How faulthandler begins, which writes its frames newest first."""
_PARTS: Final = rf"({FORMER}|greenroom)/(actors|messages|supervision|workflows)"
_OURS: Final = re.compile(rf'  File "[^"]*/({_PARTS}|asyncio|concurrent/futures|importlib)/[^"]*"')
_LIBRARY: Final = re.compile(r"/lib(64)?/python3\.\d+/")
_FRAME: Final = re.compile(r'  File "([^"]+)", line (\d+)')
_LAST_WORDS: Final = 4096
"""Characters of what a dying process wrote of where it was."""

ExitKind: TypeAlias = Literal[
    "exited",
    "signaled",
    "out_of_memory",
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
    """The end of a worker process: what the kernel said, what we did to it, and the evidence it left.

    ``kind`` is our reading of it: ``exited`` and ``signaled`` are the process's own doing; ``hung`` (no heartbeat and
    no CPU progress), ``timeout`` (an attempt overran), ``blocked`` (a program held its loop), ``garbage`` (bytes that
    are no message) and ``stopped`` (shut down on purpose) are ours; ``backend_lost`` and ``orchestrator_lost`` blame
    nobody's code.
    """

    kind: ExitKind
    code: int | None = None
    """Exit status 0 to 255 where the process exited, else None."""
    signal: str | None = None
    """Signal name such as ``"SIGKILL"`` where a signal ended it, else None."""
    core_dumped: bool = False
    injected: bool = False
    """True where an operator or a fault test ordered this end; such ends never count against a step."""
    refused: bool = False
    """With ``start_failed``: the kernel refused what a process needs (processes, memory, descriptors)."""
    detail: str = ""
    """One sentence for a person."""
    stderr: str = ""
    """The last part of what the process wrote to stderr during its life, faulthandler's dump included."""
    peak_memory_mb: float | None = None
    """Largest resident size in MiB, from the kernel's accounting."""
    cpu: float | None = None
    """CPU seconds, user and system."""

    def sentence(self) -> str:
        """Say in a few words how the process ended, for logs and errors."""
        how = {
            "exited": f"exited with code {self.code}",
            "signaled": f"was killed by {self.signal}",
            "out_of_memory": "ran out of memory",
            "hung": "hung",
            "timeout": "overran its time and was killed",
            "blocked": "blocked its event loop and was killed",
            "garbage": "sent bytes that are no message and was killed",
            "start_failed": "failed to start",
            "backend_lost": "died with the process that forked it",
            "orchestrator_lost": "died with its orchestrator",
            "stopped": "was stopped",
        }[self.kind]
        return f"{how} ({self.detail})" if self.detail else how

    def stood(self) -> tuple[str, str]:
        """Give where the process's code was as it died of it, by its last words, and the place in the user's code.

        Both are empty where it said nothing of that, as one that was killed cannot.
        """
        start = max(self.stderr.rfind(_FATAL), self.stderr.rfind(HEADER))
        if self.injected or self.kind not in {"exited", "signaled", "out_of_memory"} or start < 0:
            return "", ""
        shown: list[str] = []
        ours = False
        for line in self.stderr[start : start + _LAST_WORDS].rstrip().splitlines():
            ours = _OURS.match(line) is not None or (ours and line.startswith("    "))  # and its line of source
            if not ours:
                shown.append(line)
        frames = [found.groups() for found in map(_FRAME.match, shown) if found is not None]
        text = "\n".join(shown) if frames else ""
        frames = [each for each in frames if _LIBRARY.search(each[0]) is None] or frames
        file, number = (frames[0] if text.startswith(_FATAL) else frames[-1]) if frames else ("", "")
        return text, f"{file}:{number}" if file else ""


class Failure(Message):
    """Why an attempt did not give a result. An exception and a crash leave by this same door.

    ``classes`` names the exception's class and its bases as ``module.qualname``, most derived first, so that a retry
    policy can be applied without the class at hand.
    """

    outcome: Outcome
    type: str = ""
    """Name of the exception class for ``error``, else empty."""
    message: str = ""
    traceback: str = ""
    """What Python prints of it, with the frames of user code alone; in older journals those frames and nothing else."""
    place: str = ""
    """Where in the user's code it was raised: ``/path/app.py:31``."""
    classes: tuple[str, ...] = ()
    fatal: bool = False
    """True where the step itself said that trying again is useless."""
    retry_after: float | None = None
    """Seconds the step asked to wait before the next attempt."""
    exit: Exit | None = None
    raw: Shown = None
    """For ``invalid`` model output: the text that did not fit, shortened."""
    args: tuple[Shown, ...] | None = None
    """The exception's arguments, or its text where they are no JSON. None where no exception was raised, and in older
    journals: what is raised for those in a workflow is ``StepFailed`` alone, as it was then, so that a replay takes the
    same path."""
    fields: dict[str, Shown] = Field(default_factory=dict)
    """Those of its attributes that are JSON and short."""
    notes: tuple[str, ...] = ()
    """What was added to it with ``add_note``."""
    members: tuple["Failure", ...] = ()
    """Of a group: the first of its exceptions. Their tracebacks are a part of the group's."""

    @field_validator("classes")
    @classmethod
    def _present(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """Name our classes as they are named now, so that what an older journal holds is raised as the same class."""
        return tuple(map(present_class, names))

    def sentence(self) -> str:
        """Say what went wrong in one line."""
        if self.exit is not None and self.outcome in {"crash", "timeout"}:
            return self.message or f"the worker {self.exit.sentence()}"
        return ": ".join(part for part in (self.type, self.message) if part)

    def told(self) -> str:
        """Say in one line what went wrong and where: ``KeyError: 'colour' (/path/app.py:31)``."""
        said = self.sentence()
        return f"{said} ({self.place})" if self.place and self.place not in said else said

    def report(self) -> str:
        """Give the traceback as Python prints it, its last line the exception's; empty where there is none."""
        if not self.traceback.startswith("  File "):
            return self.traceback.rstrip("\n")
        return f"{HEADER}{self.traceback.rstrip()}\n{self.sentence()}"  # from an older journal


class Fault(Message):
    """One thing that does not fit: where, and what is wrong with it."""

    field: str
    sentence: str


def one_line(faults: tuple[Fault, ...]) -> str:
    """Give faults in one line."""
    return "; ".join(f"{fault.field}: {fault.sentence}" if fault.field else fault.sentence for fault in faults)
