"""Comparison of a replayed program's requests with its journal.

Every replay compares keys, arguments, the order of requests, and withdrawals. It detects code that has changed, and
code that is not deterministic: iterating over a set in another order must never give a call the result of another one.
No request leaves the program before the comparison is complete.

A journal holds requests in their order. So unchanged code first repeats everything that is recorded, and from some
moment on only makes new requests. Outcomes may be left at that moment, if they were recorded and their consequences
were lost. A program that breaks this rule is another program. The exception is a request that is withdrawn in the turn
that makes it.
"""

import asyncio
from collections.abc import Collection, Iterable
from itertools import repeat
from typing import Any, Final, TypeAlias, assert_never
from weakref import WeakKeyDictionary

from greenroom.actors.program.source_location import running_place
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
"""Longest arguments that are shown, in bytes; longer ones are only mentioned."""
MOST_SHOWN: Final = 5
"""Most awaited requests that are shown."""

Request: TypeAlias = ScheduleStep | ScheduleChild | ScheduleReceive | ScheduleApproval | ScheduleTimer | SendMessage


class Comparison:
    """Watches one replay. Used on the program's loop only.

    Args:
        start: What the journal holds.
        fingerprint: Fingerprint of the replayed code.
    """

    def __init__(self, start: StartProgram, fingerprint: str) -> None:
        """Begin before the first request."""
        self.found: Difference | None = None
        """The first difference, which explains all others."""
        self._start = start
        self._unchanged = bool(fingerprint) and start.fingerprint == fingerprint
        """Whether the code is known to be the same as in the last replay."""
        self._missing = dict(zip(start.known, start.digests or repeat(""), strict=False))
        """Recorded requests that were not repeated yet, in journal order, with their digests."""
        self._asked: dict[str, Asked] = {}
        self._emitted: dict[str, int] = {}
        """Number of calls of ``emit``, by key without the number."""
        self._new: dict[str, Asked] = {}
        """Requests that the journal does not hold, without those withdrawn since."""
        self._followed: dict[str, str] = {}
        """For each of those, the next recorded request that was repeated after it, by key."""
        self._places: WeakKeyDictionary[asyncio.Task[Any], str] = WeakKeyDictionary()
        """Where tasks were created, for tasks whose own frames are not the user's."""

    # ------------------------------------------------------------ requests

    def began(self, task: "asyncio.Task[Any]") -> None:
        """Note that the program has created a task."""
        self._places[task] = self._place()

    def asks(self, request: Request) -> None:
        """Compare a request."""
        asked = Asked(
            key=request.key,
            what=_what(request),
            arguments=_arguments(request),
            transcript=request.transcript if isinstance(request, ScheduleStep) else None,
            place=self._place(),
        )
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
        """Compare a value that the program adds to a stream."""
        self._emitted[key] = number
        call = f"{key}#{number}"
        if known:
            self._follows(call)
        else:
            self._new[call] = Asked(key=call, what="emit", place=self._place())

    def withdraws(self, key: str) -> None:
        """Compare a withdrawal. A request that was withdrawn in the turn that made it was never recorded."""
        self._new.pop(key, None)
        self._followed.pop(key, None)

    @property
    def asks_for_new(self) -> bool:
        """Whether a new request was made. All recorded ones were repeated by then."""
        return bool(self._new)

    def has_not_asked(self, key: str, waits: Iterable[str]) -> None:
        """Note an outcome whose request was never made."""
        self._differ("outcome", key, self._instead(waits))

    def ends(self, left: Iterable[str], waits: Collection[str], ending: str) -> None:
        """Complete the comparison at the end of the replay.

        Args:
            left: Keys of the outcomes that were not delivered.
            waits: Keys that the program awaits.
            ending: How the program has ended; empty if it has not.
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
        """Return the new request that stands in the place of a recorded one."""
        if self._new:
            return [next(iter(self._new.values()))]
        return [self._asked[key] for key in sorted(waits) if key in self._asked]

    def _follows(self, key: str) -> None:
        """Note that a recorded request was repeated after new ones."""
        if len(self._followed) < len(self._new):
            self._followed = {**dict.fromkeys(self._new, key), **self._followed}

    def _differ(self, kind: Kind, key: str, asked: Iterable[Asked], ending: str = "") -> None:
        if self.found is None:
            shown = tuple(_shown(each) for each in tuple(asked)[:MOST_SHOWN])
            self.found = Difference(kind=kind, key=key, asked=shown, ending=ending, unchanged=self._unchanged)

    def _place(self) -> str:
        task = asyncio.current_task()
        return running_place() or (self._places.get(task, "") if task is not None else "")


def _kind(request: Request) -> str:
    """Return what counts besides the arguments. Names are part of keys, and a step's definition may have moved."""
    match request:
        case ScheduleStep(kind=kind):
            return kind
        case ScheduleChild():
            return "child"
        case ScheduleReceive():
            return "receive"
        case ScheduleApproval():
            return "approval"
        case ScheduleTimer():
            return "timer"
        case SendMessage():
            return "message"
        case _:
            assert_never(request)


def _what(request: Request) -> str:
    match request:
        case ScheduleStep(kind=kind, step=step):
            return f"{kind} {step}"
        case ScheduleChild(workflow=workflow):
            return f"child {workflow}"
        case ScheduleReceive(name=name):
            return f"receive {name}"
        case SendMessage(to=to):
            return f"message {to}"
        case ScheduleApproval() | ScheduleTimer():
            return _kind(request)
        case _:
            assert_never(request)


def _arguments(request: Request) -> Any:
    match request:
        case ScheduleStep(arguments=arguments):
            return arguments
        case ScheduleChild(arguments=arguments):
            return JsonText.of_members(arguments)
        case ScheduleApproval(action=action, args=args):
            return JsonText.of_members({"action": action, "args": args})
        case SendMessage(name=name, value=value):
            return JsonText.of_members({"name": name, "value": value})
        case ScheduleReceive() | ScheduleTimer():
            return None
        case _:
            assert_never(request)


def _shown(asked: Asked) -> Asked:
    new = () if asked.transcript is None else asked.transcript.new
    if sum(len(text_of(entry.message)) for entry in new) > SHOWN_BYTES:
        asked = asked.model_copy(update={"transcript": None})
    if len(text_of(asked.arguments)) <= SHOWN_BYTES:
        return asked.model_copy(update={"arguments": plain(asked.arguments)})
    return asked.model_copy(update={"arguments": None, "too_long": True})
