"""The place of running code in a program's tree of tasks, and the keys that follow from it.

Every task of a program has a scope. The root task's path is empty, and the n-th task that a task creates appends ``n``
to its path. A call is named after its scope, what it calls, and how often this scope has called that before. The name
does not depend on other tasks, so concurrent branches keep their names on replay, in whatever order they finish.

Tasks and futures also get their hashes from here, because sets are iterated in the order of hashes. Python's own hashes
are addresses, which differ in every process.
"""

from collections import Counter
from contextvars import ContextVar
from typing import Final
from zlib import crc32

_NUMBER_BITS: Final = 16
"""Low bits of a hash, which hold a counter. So small sets of one parent's tasks are iterated in order of creation."""


class Scope:
    """One task's place in the tree, and the names it has given out. Used on the program's loop only."""

    __slots__ = ("_calls", "_children", "_futures", "_outer", "_salt", "hash", "path")

    def __init__(self, path: str = "", salt: int = 0, hash: int = 0) -> None:  # noqa: A002  it is a hash
        """Begin with no children and no calls.

        Args:
            path: Path of the task.
            salt: Derived from the run. Without it, programs in one process would have the same hashes.
            hash: Hash of the task.
        """
        self.path = path
        self.hash = hash
        self._salt = salt
        self._children = 0
        self._futures = 0
        self._calls: Counter[str] = Counter()
        self._outer: tuple[Scope, str, int, Counter[str]] | None = None

    def enter(self, name: str) -> "Scope":
        """Begin a call of this task that makes calls of its own, such as the run of an agent: ``2.1/writer#1``.

        Until ``leave``, everything that the task names is named below that call. The tasks and calls that a library
        makes inside it thus do not change the names of what follows.
        """
        inner = Scope(self.key(name), self._salt)
        inner._outer = (self, self.path, self._children, self._calls)
        self.path, self._children, self._calls = inner.path, 0, inner._calls
        return inner

    def leave(self) -> None:
        """End a call that ``enter`` returned."""
        if self._outer is not None:
            task, path, children, calls = self._outer
            task.path, task._children, task._calls = path, children, calls  # noqa: SLF001  of the same class
            self._outer = None

    def inside(self, name: str, label: str) -> "Scope":
        """Return the scope of one call in this task, for what its code calls: ``writer#1/search[c1]#1``."""
        place, number = self.call(f"{name}[{label}]/")
        return Scope(f"{place.removesuffix('/')}#{number}", self._salt)

    def child(self) -> "Scope":
        """Return the scope of the next task that this one creates."""
        self._children += 1
        path = f"{self.path}.{self._children}" if self.path else str(self._children)
        return Scope(path, self._salt, self._hash("", self._children))

    def nested(self, name: str, label: str | None = None) -> "Scope":
        """Return the scope of what the next call of ``name`` asks for itself, such as an agent's steps."""
        return Scope(self.key(name, label), self._salt, self.hash)

    def future_hash(self) -> int:
        """Return the hash of the next future that this task creates."""
        self._futures += 1
        return self._hash("/", self._futures)

    def _hash(self, kind: str, number: int) -> int:
        return (crc32(f"{self.path}{kind}".encode(), self._salt) << _NUMBER_BITS) + number

    def key(self, name: str, label: str | None = None) -> str:
        """Return the next call's key: ``search#1``, in a child task ``2.1/search#1``, with a label ``search[eu]#1``."""
        place, number = self.call(f"{name}[{label}]" if label is not None else name)
        return f"{place}#{number}"

    def call(self, name: str) -> tuple[str, int]:
        """Return the two parts of the next call's key: ``2.1/search``, and its number."""
        self._calls[name] += 1
        return f"{self.path}/{name}" if self.path else name, self._calls[name]


scope: ContextVar[Scope | None] = ContextVar("greenroom_scope", default=None)
"""The scope of the running task; None outside programs."""
