"""Read the parts of a stored overview: what a request needs, and no more."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from app.core.logging import get_logger
from app.core.storage import ArtifactStore, StoredBytesCorrupt
from app.datasets.errors import DatasetBytesMissing, PreviewNotFound
from app.datasets.reports.overview import (
    HEADER_BYTES,
    DuplicateGroup,
    Groups,
    OverviewHeader,
    Part,
    SampleEntry,
    SampleIndex,
    StoredSample,
    StoredStatistics,
)
from app.datasets.reports.report import Split

log = get_logger(__name__)

Model = TypeVar("Model", bound=BaseModel)

READ_AHEAD_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class NumberedSample:
    """A sample and its number, which is that of its preview, too."""

    number: int
    sample: StoredSample


@dataclass(frozen=True)
class PlacedGroup:
    """A group of duplicates, and where the next one begins in its part."""

    group: DuplicateGroup
    end: int


class OverviewReader:
    """Reads one stored overview.

    All methods raise:
        DatasetBytesMissing: the store does not have the file.
        StoredBytesCorrupt: the file is damaged.
        StoreUnavailable: the store cannot be reached.
    """

    def __init__(self, store: ArtifactStore, sha256: str) -> None:
        self._store = store
        self._sha256 = sha256
        self.header = self._parsed(OverviewHeader, Part(offset=0, size=HEADER_BYTES))

    def read(self, part: Part, start: int, length: int) -> Iterable[bytes]:
        """Return `length` bytes of a part, in pieces, from its offset `start`."""
        try:
            return self._store.open_range(self._sha256, part.offset + start, length)
        except FileNotFoundError:
            log.error("dataset.bytes_missing", sha256=self._sha256)  # noqa: TRY400 -- the cause is in the fields
            raise DatasetBytesMissing from None

    def preview(self, number: int) -> Part:
        """Return where a preview lies.

        Raises:
            PreviewNotFound: there is no preview of this number.
        """
        entries = self._index()
        if number >= len(entries):
            raise PreviewNotFound
        return entries[number].preview

    def samples(
        self, split: Split | None, classes: frozenset[int] | None, *, seed: int, limit: int
    ) -> tuple[int, list[NumberedSample]]:
        """Return how many samples fit, and up to `limit` of them in an order that the seed gives.

        Args:
            split: only samples of this split; None for all.
            classes: only samples that show one of these; None for all.
            seed: gives the order.
            limit: the most samples to return.
        """
        fitting = [
            (number, entry)
            for number, entry in enumerate(self._index())
            if split in {None, entry.split}
            and (classes is None or not classes.isdisjoint(entry.classes))
        ]
        fitting.sort(key=lambda numbered: _shuffled(seed, numbered[0]))
        chosen = [
            NumberedSample(number, self._parsed(StoredSample, entry.sample))
            for number, entry in fitting[:limit]
        ]
        return len(fitting), chosen

    def statistics(self) -> StoredStatistics:
        """Return the statistics."""
        return self._parsed(StoredStatistics, self.header.statistics)

    def groups(self, part: Groups, *, start: int, limit: int) -> list[PlacedGroup]:
        """Return up to `limit` groups of duplicates, from an offset where one begins."""
        found: list[PlacedGroup] = []
        for line in self._lines(part, start):
            start += len(line) + 1
            found.append(PlacedGroup(self._validated(DuplicateGroup, line), start))
            if len(found) == limit:
                break
        return found

    def _lines(self, part: Part, start: int) -> Iterator[bytes]:
        rest = b""
        while start < part.size:
            length = min(READ_AHEAD_BYTES, part.size - start)
            *lines, rest = (rest + b"".join(self.read(part, start, length))).split(b"\n")
            start += length
            yield from lines

    def _index(self) -> Sequence[SampleEntry]:
        return self._parsed(SampleIndex, self.header.index).entries

    def _parsed(self, model: type[Model], part: Part) -> Model:
        return self._validated(model, b"".join(self.read(part, 0, part.size)))

    def _validated(self, model: type[Model], content: bytes) -> Model:
        try:
            return model.model_validate_json(content)
        except ValidationError:
            message = f"The stored object {self._sha256[:12]}… is damaged."
            raise StoredBytesCorrupt(message) from None


def _shuffled(seed: int, number: int) -> bytes:
    return hashlib.blake2b(f"{seed} {number}".encode(), digest_size=8).digest()
