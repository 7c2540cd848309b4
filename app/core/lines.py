"""Lines of a text that only grows: where they begin, how many there are, which contain a word.

Everything reads the text in pieces of `PIECE_BYTES`, so memory does not depend on its length. A
line ends with a line feed. Numbers start at 1.
"""

import threading
from array import array
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

PIECE_BYTES: Final = 1024 * 1024
BLOCK_BYTES: Final = 64 * 1024
"""The index knows how many lines end before each block."""
LONGEST_SEARCHED: Final = 64 * 1024
"""Bytes of a line that are searched; the rest of a longer one is passed over."""
LONGEST_SHOWN: Final = 2000
"""Characters of a line that a match shows."""
MOST_SEARCHED: Final = 64 * 1024 * 1024
"""Bytes that one search reads."""
MOST_INDEXES: Final = 256
"""Indexes in memory; each takes 8 KiB for a text of 64 MiB."""

Read = Callable[[int, int], Iterable[bytes]]
"""Returns the bytes of the text from an offset on, of a length, in pieces."""


@dataclass(frozen=True)
class LineIndex:
    """How many lines end before each block of a text.

    Args:
        size: bytes of the text when it was read.
        newlines: how many lines end in it.
        is_ended: whether its last line is ended; also true for an empty text.
        before: how many lines end before each block.
    """

    size: int = 0
    newlines: int = 0
    is_ended: bool = True
    before: "array[int]" = field(default_factory=lambda: array("Q"))

    @property
    def lines(self) -> int:
        """The number of lines, with one that is not ended yet."""
        return self.newlines + (not self.is_ended)

    def extended(self, size: int, read: Read) -> "LineIndex":
        """Return the index of the text that has grown to `size`; only what is new is read."""
        at, newlines, is_ended = self.size, self.newlines, self.is_ended
        before = self.before[:]
        for piece in pieces(read, at, size - at):
            view = memoryview(piece)
            while view:
                if at % BLOCK_BYTES == 0:
                    before.append(newlines)
                part = bytes(view[: BLOCK_BYTES - at % BLOCK_BYTES])
                newlines += part.count(b"\n")
                at += len(part)
                is_ended = part.endswith(b"\n")
                view = view[len(part) :]
        return LineIndex(at, newlines, is_ended, before)

    def offset_of(self, line: int, read: Read) -> int:
        """Return where a line begins; the size of the text if it has no such line."""
        ended = line - 1  # lines that end before it
        if ended <= 0:
            return 0
        if ended > self.newlines:
            return self.size
        block = bisect_left(self.before, ended) - 1
        start, missing = block * BLOCK_BYTES, ended - self.before[block]
        content = b"".join(read(start, min(BLOCK_BYTES, self.size - start)))
        place = -1
        for _ in range(missing):
            place = content.index(b"\n", place + 1)
        return start + place + 1


class LineIndexStore:
    """The indexes of the texts that were read last, by key. Threads may share it."""

    def __init__(self, most: int = MOST_INDEXES) -> None:
        self._most = most
        self._known: OrderedDict[Hashable, LineIndex] = OrderedDict()
        self._lock = threading.Lock()

    def index_of(self, key: Hashable, size: int, read: Read) -> LineIndex:
        """Return the index of a text that has this size now.

        A text that is shorter than it was is read again.
        """
        with self._lock:
            known = self._known.get(key, LineIndex())
        if known.size > size:
            known = LineIndex()
        index = known if known.size == size else known.extended(size, read)
        with self._lock:
            self._known[key] = index
            self._known.move_to_end(key)
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        return index


def pieces(read: Read, start: int, length: int) -> Iterator[bytes]:
    """Yield a part of the text, in reads of at most `PIECE_BYTES`."""
    end = start + length
    while start < end:
        got = 0
        for piece in read(start, min(PIECE_BYTES, end - start)):
            got += len(piece)
            yield piece
        if not got:
            return
        start += got


@dataclass(frozen=True)
class FoundLine:
    """A line in the answer of a search: its number, its text, and whether it contains the word."""

    number: int
    text: str
    matches: bool


@dataclass(frozen=True)
class LineMatches:
    """What a search found. `more`: further lines may match; continue behind `searched_to`."""

    lines: tuple[FoundLine, ...]
    more: bool
    searched_to: int


@dataclass(frozen=True)
class LineQuery:
    """What to search for: a text, the lines around each match, and the maximum of matches."""

    text: str
    context: int = 0
    limit: int = 100


def search(wanted: LineQuery, read: Read, *, first: int, start: int, end: int) -> LineMatches:
    """Search the lines of a part of the text. ASCII letters match in either case.

    Args:
        wanted: what to search for.
        read: reads the text.
        first: number of the first line of the part.
        start: where that line begins.
        end: where the part ends. At most `MOST_SEARCHED` bytes are read.
    """
    to = min(end, start + MOST_SEARCHED)
    finder = _Finder(wanted, first)
    for lines in _whole_lines(pieces(read, start, to - start)):
        if not finder.takes(lines):
            return finder.found(more=True)
    return finder.found(more=to < end)


class _Finder:
    """Takes lines in order and keeps those that match, with those around them."""

    def __init__(self, wanted: LineQuery, first: int) -> None:
        self._needle = wanted.text.encode(errors="replace").lower()
        self._limit = wanted.limit
        self._context = wanted.context
        self._next = first
        self._matches = 0
        self._show_until = 0
        self._before: deque[tuple[int, bytes]] = deque(maxlen=wanted.context)
        self._lines: list[FoundLine] = []

    def takes(self, lines: bytes) -> bool:
        """Take whole lines. Return False if there is a match too many."""
        if self._needle not in lines.lower() and self._next > self._show_until:
            self._pass_over(lines)
            return True
        return all(self._takes_line(line) for line in lines.removesuffix(b"\n").split(b"\n"))

    def found(self, *, more: bool) -> LineMatches:
        return LineMatches(tuple(self._lines), more, self._next - 1)

    def _takes_line(self, line: bytes) -> bool:
        if self._needle in line.lower():
            if self._matches == self._limit:
                return False
            self._matches += 1
            self._lines += [_shown(number, text) for number, text in self._before]
            self._lines.append(_shown(self._next, line, matches=True))
            self._before.clear()
            self._show_until = self._next + self._context
        elif self._next <= self._show_until:
            self._lines.append(_shown(self._next, line))
        else:
            self._before.append((self._next, line))
        self._next += 1
        return True

    def _pass_over(self, lines: bytes) -> None:
        self._next += lines.count(b"\n") + (not lines.endswith(b"\n"))
        if self._context:
            last = lines.removesuffix(b"\n").rsplit(b"\n", self._context)[-self._context :]
            number = self._next - len(last)
            self._before.extend(enumerate(last, number))


def _whole_lines(text: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the text again so that each piece consists of whole lines; long ones are cut."""
    rest, is_skipping = b"", False
    for piece in text:
        if is_skipping:
            _, found, piece = piece.partition(b"\n")  # noqa: PLW2901 -- what is left of it
            is_skipping = not found
        lines = rest + piece
        end = lines.rfind(b"\n") + 1
        if end:
            yield lines[:end]
        rest = lines[end:]
        if len(rest) > LONGEST_SEARCHED:
            yield rest[:LONGEST_SEARCHED] + b"\n"
            rest, is_skipping = b"", True
    if rest:
        yield rest


def _shown(number: int, line: bytes, *, matches: bool = False) -> FoundLine:
    return FoundLine(number, line.decode(errors="replace")[:LONGEST_SHOWN], matches)
