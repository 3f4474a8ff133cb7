"""Which output of an attempt to keep: the first and the last part, and the size of the rest. Pure."""

from collections import deque
from typing import Final

from greenroom.messages.core.frozen import frozen
from greenroom.supervision.process.output_sources import StreamName
from greenroom.workflows.output.line_splitter import count_lines

HEAD_BYTES: Final = 896 * 1024
TAIL_BYTES: Final = 128 * 1024
LINE_COST: Final = 128
"""Bytes to count for a line besides its text: approximately those of its names in the file."""


@frozen
class Batch:
    """Lines of one stream that were read at once."""

    stream: StreamName
    at: float
    lines: list[bytes]
    """As a ``LineSplitter`` gives them: lines, and parts of lines."""
    omitted: int = 0
    """Number of lines that were left out here; ``lines`` is then a sentence about them."""

    @property
    def cost(self) -> int:
        """Bytes to count for the batch."""
        return sum(map(len, self.lines)) + LINE_COST * len(self.lines)


class Portion:
    """Decides line by line which to keep: at most 1 MiB of an attempt, with the names before each line."""

    def __init__(self) -> None:
        """Start with an attempt that has written nothing."""
        self._room = HEAD_BYTES
        self._tail: deque[Batch] = deque()
        self._tail_cost = 0
        self._omitted = 0
        self._omitted_bytes = 0

    def take(self, batch: Batch) -> Batch | None:
        """Return the part of a batch to keep now; the rest may belong to the last part."""
        if self._room > 0 and batch.cost <= self._room:
            self._room -= batch.cost
            return batch
        first: list[bytes] = []
        left = batch.lines
        if self._room > 0:
            room, count = self._room, 0
            while room > 0:  # the batch is longer than that
                room -= len(left[count]) + LINE_COST
                count += 1
            first, left, self._room = left[:count], left[count:], 0
        if left:
            self._keep_last(Batch(batch.stream, batch.at, left))
        return Batch(batch.stream, batch.at, first) if first else None

    def miss(self, size: int, lines: int) -> None:
        """Count output that was dropped before it was read: from then on only the last part is kept."""
        self._room = 0
        self._omitted += lines
        self._omitted_bytes += size

    def end(self) -> list[Batch]:
        """Return the last part of an attempt that has ended, after a sentence about what was left out."""
        tail = list(self._tail)
        if self._omitted or self._omitted_bytes:
            at = tail[0].at if tail else 0.0
            stream: StreamName = tail[0].stream if tail else "stdout"
            what = f"{self._omitted:,} lines" if self._omitted else "a part of a line"
            were = "were" if self._omitted else "was"
            text = f"[{what} of this attempt ({_size(self._omitted_bytes)}) {were} left out here]"
            tail.insert(0, Batch(stream, at, [text.encode()], max(1, self._omitted)))
        self._tail.clear()
        self._tail_cost = self._omitted = self._omitted_bytes = 0
        return tail

    def _keep_last(self, batch: Batch) -> None:
        cost = batch.cost
        if cost > TAIL_BYTES:
            lines, size = batch.lines, 0
            first = len(lines)
            while first > 0 and size < TAIL_BYTES:
                first -= 1
                size += len(lines[first]) + LINE_COST
            self._omit(lines[:first])
            batch = Batch(batch.stream, batch.at, lines[first:])
            cost = size
        self._tail.append(batch)
        self._tail_cost += cost
        while self._tail_cost > TAIL_BYTES and len(self._tail) > 1:
            gone = self._tail.popleft()
            self._tail_cost -= gone.cost
            self._omit(gone.lines)

    def _omit(self, lines: list[bytes]) -> None:
        count = count_lines(lines)
        self._omitted += count
        self._omitted_bytes += sum(map(len, lines)) + count


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"
