"""Comparing what a program asks for while it is replayed with what its journal holds.

Every replay compares keys, arguments, the order in which things are asked for, and what is awaited no longer. It finds
out code that has changed, and code that is not the same the second time: a set that is gone through in another order
must never have a call be given the result of another. Nothing of what a program asks for leaves it before the
comparison is over.

A journal holds what was asked for in the order in which it was. So when unchanged code is replayed, it asks first for
everything that is known, and from some moment on for nothing that is: there may be outcomes left then, because they
were recorded and what they led to was lost. Whatever breaks that rule is another program, but for what is withdrawn in
the turn that asks for it.
"""

import asyncio
from collections.abc import Collection, Iterable
from itertools import repeat
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

from greenroom.actors.program.source_location import user_place
from greenroom.messages.core.json_text import JsonText, plain, text_of
from greenroom.messages.frames.replay_differences import Asked, Difference, Kind, digest
from greenroom.messages.frames.worker import (
    ScheduleApproval,
    ScheduleChild,
    ScheduleReceive,
    ScheduleStep,
    ScheduleTimer,
    SendMessage,
    StartProgram,
)

SHOWN_BYTES: Final = 64 * 1024
"""Longest arguments that are shown; longer ones are only said to be there."""
MOST_SHOWN: Final = 5
"""Most things that are shown of those that the program awaits."""

Request: TypeAlias = ScheduleStep | ScheduleChild | ScheduleReceive | ScheduleApproval | ScheduleTimer | SendMessage


class Comparison:
    """Watches one replay. Used on the program's loop only.

    Args:
        start: What is known.
        fingerprint: Of the code that is replayed.
    """

    def __init__(self, start: StartProgram, fingerprint: str) -> None:
        """Begin with everything still to be asked for."""
        self.found: Difference | None = None
        """The first difference, which explains the others."""
        self._start = start
        self._unchanged = bool(fingerprint) and start.fingerprint == fingerprint
        """Whether the code is known to be the one that the journal was last replayed with."""
        self._missing = dict(zip(start.known, start.digests or repeat(""), strict=False))
        """What has not been asked for yet, in the order of the journal, with its digest."""
        self._asked: dict[str, Asked] = {}
        self._emitted: dict[str, int] = {}
        """How often each call of ``emit`` was made, by its key without the number."""
        self._new: dict[str, Asked] = {}
        """What was asked for that the journal does not hold, and not withdrawn since."""
        self._followed: dict[str, str] = {}
        """For each of those what the journal does hold and was asked for next, by key."""
        self._places: WeakKeyDictionary[asyncio.Task[Any], str] = WeakKeyDictionary()
        """Where tasks were made, for those whose own frames are not the user's."""

    # ------------------------------------------------------------ what the program does

    def began(self, task: "asyncio.Task[Any]") -> None:
        """The program has made a task."""
        self._places[task] = self._place()

    def asks(self, request: Request) -> None:
        """The program asks for something."""
        asked = Asked(key=request.key, what=_what(request), arguments=_arguments(request), place=self._place())
        self._asked[request.key] = asked
        if request.key not in self._missing:
            self._new[request.key] = asked
            return
        expected = self._missing.pop(request.key)
        self._follows(request.key)
        if expected and expected != digest(_kind(request), asked.arguments, self._start.form):
            self._differ("arguments", request.key, [asked])
        if self._unchanged:
            return
        reference = self._start.references.get(request.key)
        if isinstance(request, ScheduleStep) and reference not in {None, request.step}:
            self._differ("arguments", request.key, [asked])

    def emits(self, key: str, number: int, *, known: bool) -> None:
        """The program adds a value to a stream."""
        self._emitted[key] = number
        call = f"{key}#{number}"
        if known:
            self._follows(call)
        else:
            self._new[call] = Asked(key=call, what="emit", place=self._place())

    def withdraws(self, key: str) -> None:
        """The program awaits something no longer. What it asked for and withdrew in one turn was never recorded."""
        self._new.pop(key, None)
        self._followed.pop(key, None)

    @property
    def asks_for_new(self) -> bool:
        """Whether something was asked for that the journal does not hold; then all that it holds has been by now."""
        return bool(self._new)

    def has_not_asked(self, key: str, waits: Iterable[str]) -> None:
        """An outcome has come that nobody has ever asked for."""
        self._differ("outcome", key, self._instead(waits))

    def ends(self, left: Iterable[str], waits: Collection[str], ending: str) -> None:
        """The replay is over.

        Args:
            left: Keys of the outcomes that the program has not heard of.
            waits: Keys of what it awaits.
            ending: How it has come to its end; empty where it has not.
        """
        for new, key in self._followed.items():
            self._differ("extra", key, [self._new[new]])
        emitted = [f"{key}#{many}" for key, many in self._start.emitted.items() if self._emitted.get(key, 0) < many]
        for key in (*self._missing, *emitted):
            self._differ("missing", key, self._instead(waits), ending)
        for key in left:
            if key not in self._asked:
                self._differ("outcome", key, self._instead(waits), ending)
        for key in self._start.withdrawn:
            if key in waits:
                self._differ("withdrawn", key, [self._asked[key]])

    # ------------------------------------------------------------ inside

    def _instead(self, waits: Iterable[str]) -> list[Asked]:
        """Give what the program asks for where the journal holds something else."""
        if self._new:
            return [next(iter(self._new.values()))]
        return [self._asked[key] for key in sorted(waits) if key in self._asked]

    def _follows(self, key: str) -> None:
        """Note what is known and was asked for after something that is not."""
        if len(self._followed) < len(self._new):
            self._followed = {**dict.fromkeys(self._new, key), **self._followed}

    def _differ(self, kind: Kind, key: str, asked: Iterable[Asked], ending: str = "") -> None:
        if self.found is None:
            shown = tuple(_shown(each) for each in tuple(asked)[:MOST_SHOWN])
            self.found = Difference(kind=kind, key=key, asked=shown, ending=ending, unchanged=self._unchanged)

    def _place(self) -> str:
        task = asyncio.current_task()
        return user_place() or (self._places.get(task, "") if task is not None else "")


def _kind(request: Request) -> str:
    """Give what counts besides arguments; names are part of keys, and a step may be defined elsewhere than it was."""
    return request.kind if isinstance(request, ScheduleStep) else _WORDS[type(request)]


def _what(request: Request) -> str:
    match request:
        case ScheduleStep(kind=kind, step=step):
            return f"{kind} {step}"
        case ScheduleChild(workflow=workflow):
            return f"child {workflow}"
        case ScheduleReceive(name=name):
            return f"receive {name}"
        case ScheduleApproval():
            return "approval"
        case SendMessage(to=to):
            return f"message {to}"
        case _:
            return "timer"


def _arguments(request: Request) -> Any:
    if isinstance(request, ScheduleApproval):
        return JsonText.of_members({"action": request.action, "args": request.args})
    if isinstance(request, SendMessage):
        return JsonText.of_members({"name": request.name, "value": request.value})
    if isinstance(request, ScheduleChild):
        return JsonText.of_members(request.arguments)
    return request.arguments if isinstance(request, ScheduleStep) else None


def _shown(asked: Asked) -> Asked:
    if len(text_of(asked.arguments)) <= SHOWN_BYTES:
        return asked.model_copy(update={"arguments": plain(asked.arguments)})
    return asked.model_copy(update={"arguments": None, "too_long": True})


_WORDS: Final[dict[type[Any], str]] = {
    ScheduleChild: "child",
    ScheduleReceive: "receive",
    ScheduleApproval: "approval",
    ScheduleTimer: "timer",
    SendMessage: "message",
}
