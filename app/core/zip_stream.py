"""Write a zip as a stream of bytes. Equal files give equal bytes."""

import io
import zipfile
from collections.abc import Iterable, Iterator
from typing import Final

EARLIEST_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
UNIX: Final = 3
FILE_MODE: Final = 0o100644
FOLDER_MODE: Final = 0o040755
PIECE_BYTES: Final = 1024 * 1024


class _Sink(io.RawIOBase):
    """Collects what is written until it is taken; cannot seek, so sizes follow the content."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]  # zipfile writes bytes and views
        self._pieces.append(piece)
        self._size += len(piece)
        return len(piece)

    @property
    def size(self) -> int:
        """The number of bytes that wait to be taken."""
        return self._size

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return taken


def zip_stream(members: Iterable[tuple[str, Iterable[bytes]]]) -> Iterator[bytes]:
    """Yield a zip of members, each a path with the pieces of its content, in their order.

    A path that ends with a slash is an empty folder.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for path, pieces in members:
            entry = zipfile.ZipInfo(path, EARLIEST_ZIP_TIME)
            entry.create_system = UNIX
            entry.external_attr = (FOLDER_MODE if path.endswith("/") else FILE_MODE) << 16
            with archive.open(entry, "w", force_zip64=True) as member:
                for piece in pieces:
                    member.write(piece)
                    if sink.size >= PIECE_BYTES:
                        yield sink.take()
            yield sink.take()
    yield sink.take()
