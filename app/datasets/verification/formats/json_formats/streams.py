"""Read JSON of strangers: large files item by item, small ones whole.

A file that is not JSON is a finding, whatever its bytes are.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import ijson  # type: ignore[import-untyped]  # it has no types
import numpy as np

from app.datasets.archives.audit import MemberCorruptError, MemberStream
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import shown
from app.datasets.verification.source import Upload

CHUNK_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 100
NOT_NUMBER: Final = re.compile(rb'(?<!\\)(": ?)(?:NaN|-?Infinity)(?=[,}\r\n ])')
"""The value of a key that Python writes and JSON lacks; as null it is no number either."""
LONGEST_NOT_NUMBER: Final = 16
UTF8_MARK: Final = b"\xef\xbb\xbf"
QUOTE: Final = 2
MARKS: Final = np.zeros(256, dtype=np.int8)
"""What each byte adds to the level, and the mark of a quote."""

MARKS[list(b"[{")] = 1
MARKS[list(b"]}")] = -1
MARKS[ord('"')] = QUOTE
UNMARKED: Final = bytes(code for code in range(256) if MARKS[code] == 0)


class JsonRefusedError(Exception):
    """The file is not JSON, or nests too deeply."""


def items_in(upload: Upload, path: str, prefix: str) -> Iterator[Any]:
    """Yield each value at the prefix, which is one of ijson, such as `images.item`.

    Raises:
        JsonRefusedError: the file is not JSON.
        MemberCorruptError: the file is damaged.
    """
    with upload.members.archive.stream(upload.tree.files[path]) as stream:
        try:
            yield from ijson.items(_GuardedStream(stream), prefix, use_float=True)
        except (ijson.JSONError, ValueError, RecursionError, OverflowError) as error:
            raise JsonRefusedError(str(error).partition("\n")[0]) from error


@dataclass
class _GuardedStream:
    """A stream without UTF-8's mark; deep nesting is refused.

    A parser that knows the path of each value pays for all levels above it.
    """

    stream: MemberStream
    depth: int = 0
    is_inside: bool = False
    rest: bytes = b""
    is_first: bool = True
    held: bytes = b""

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        """Return the next bytes. Raises JsonRefusedError if they are nested too deeply."""
        chunk = self._next(size)
        if self.is_first and chunk:
            self.is_first = False
            chunk = chunk.removeprefix(UTF8_MARK)
        if self._deepest_in(chunk) > MAX_DEPTH:
            raise JsonRefusedError(f"it has more than {MAX_DEPTH} levels")
        return chunk

    def _next(self, size: int) -> bytes:
        """Return the next bytes with null for what is no number; a key is held until its value."""
        while True:
            fresh = self.stream.read(size)
            text = self.held + fresh
            quote = text.rfind(b'"', -LONGEST_NOT_NUMBER) if fresh else -1
            cut = len(text) if quote < 0 else max(quote - 1, 0)
            text, self.held = text[:cut], text[cut:]
            if text or not fresh:
                return NOT_NUMBER.sub(rb"\1null", text)

    def _deepest_in(self, chunk: bytes) -> int:
        """Return the deepest level in the next bytes; brackets inside strings do not count."""
        text = chunk
        if self.rest or b"\\" in chunk:
            text = self.rest + chunk
            backslashes = len(text) - len(text.rstrip(b"\\"))
            self.rest = b"\\" if backslashes % 2 else b""
            text = text.removesuffix(self.rest).replace(b"\\\\", b"").replace(b'\\"', b"")
        marks = MARKS[np.frombuffer(text.translate(None, UNMARKED), dtype=np.uint8)]
        if len(marks) == 0:
            return self.depth
        is_inside = np.logical_xor.accumulate(marks == QUOTE) ^ self.is_inside
        marks[is_inside | (marks == QUOTE)] = 0
        levels = np.cumsum(marks, dtype=np.int32) + self.depth
        self.is_inside, self.depth = bool(is_inside[-1]), int(levels[-1])
        return int(levels.max())


def lines_in(upload: Upload, path: str) -> Iterator[Any]:
    """Yield the value of each line that is not blank.

    Raises:
        JsonRefusedError: a line is not JSON.
        MemberCorruptError: the file is damaged.
    """
    with upload.members.archive.stream(upload.tree.files[path]) as stream:
        rest = bytearray()
        number = 0
        guarded = _GuardedStream(stream)
        while chunk := guarded.read():
            *lines, end = chunk.split(b"\n")
            for line in lines:
                rest += line
                number += 1
                yield from _value_of(bytes(rest), number)
                rest.clear()
            rest += end
        yield from _value_of(bytes(rest), number + 1)


def _value_of(line: bytes, number: int) -> Iterator[Any]:
    if not line.strip():
        return
    try:
        yield json.loads(line)
    except (ValueError, RecursionError) as error:
        raise JsonRefusedError(f"line {number}: {error}") from error


def document_in(upload: Upload, path: str) -> Any:  # noqa: ANN401 -- any JSON value
    """Return the whole content of a small file, usually the annotations of one image.

    Raises:
        JsonRefusedError: the file is not JSON.
        MemberCorruptError: the file is damaged.
    """
    try:
        return json.loads(upload.members.archive.read(upload.tree.files[path]))
    except (ValueError, RecursionError) as error:
        raise JsonRefusedError(str(error)) from error


def report_refused(upload: Upload, path: str, error: Exception, code: Code) -> None:
    """Add the finding of a file that `items_in` or `document_in` refused."""
    if isinstance(error, MemberCorruptError):
        upload.findings.add(Code.ARCHIVE_CORRUPT, shown(f"{error}."), file=path)
        return
    text = f"It is not valid JSON: {error}. Export it again."
    upload.findings.add(code, shown(text), file=path)
