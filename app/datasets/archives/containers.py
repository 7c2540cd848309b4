"""What every kind of archive looks like once its directory is read: members and their content."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol


class MemberCorruptError(Exception):
    """A member's content does not match its directory entry."""


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file of an archive under its normalised name.

    `size_bytes` is the declared size after inflation; `Archive.read` never returns more. `at` tells
    the container where the content is.
    """

    name: str
    size_bytes: int
    at: int


class Container(Protocol):
    """An open archive of one kind."""

    def read(self, at: int, size: int) -> bytes:
        """Return at most `size` bytes from the beginning of a member's content.

        Raises:
            MemberCorruptError: the member is damaged.
        """

    def pieces(self, at: int) -> Iterator[bytes]:
        """Yield the content of a member in pieces of bounded size.

        Raises:
            MemberCorruptError: the member is damaged.
        """


class MemberStream:
    """The content of one member, read piece by piece."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; none at the end.

        Raises:
            MemberCorruptError: the member is truncated or damaged.
        """
        if not self._rest:
            self._rest = next(self._pieces, b"")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


@dataclass(frozen=True)
class Archive:
    """An audited archive. `folders` are those that it lists, which may be empty."""

    container: Container
    members: tuple[Member, ...]
    folders: tuple[str, ...] = ()

    def read(self, member: Member) -> bytes:
        """Return the content of one member, of exactly its declared size.

        Raises:
            MemberCorruptError: the member is truncated or damaged.
        """
        content = self.container.read(member.at, member.size_bytes + 1)
        if len(content) != member.size_bytes:
            raise MemberCorruptError(
                f"{member.size_bytes} bytes are declared, {len(content)} were read"
            )
        return content

    @contextmanager
    def stream(self, member: Member) -> Iterator[MemberStream]:
        """Open one member for reading piece by piece.

        Raises:
            MemberCorruptError: the member is damaged.
        """
        yield MemberStream(self.container.pieces(member.at))

    def prefix(self, member: Member, size: int) -> bytes:
        """Return at most the first `size` bytes of one member.

        Raises:
            MemberCorruptError: the member is damaged.
        """
        return self.container.read(member.at, min(size, member.size_bytes))
