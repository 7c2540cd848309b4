"""Content-addressed files on a local disk."""

import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import obstore
import pytest

from app.core import file_reader, storage
from app.core.errors import InsufficientStorage
from app.core.storage import (
    ArtifactStore,
    StoredBytesCorrupt,
    StoreUnavailable,
    local_file,
)

CONTENT = bytes(range(256)) * 10_000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


def stored_file(tmp_path: Path) -> Path:
    return next(path for path in (tmp_path / "home" / "store").rglob("*") if path.is_file())


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Make the kernel refuse longer files (EFBIG), as it refuses writes to a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestPut:
    def test_a_file_too_large_for_s3s_number_of_parts_is_stored_in_larger_ones(
        self, store: ArtifactStore, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes: list[int] = []
        put = obstore.put

        def record(*arguments: Any, **options: Any) -> object:  # noqa: ANN401 -- of obstore.put
            sizes.append(options["chunk_size"])
            return put(*arguments, **options)

        monkeypatch.setattr(obstore, "put", record)
        monkeypatch.setattr(storage, "PART_BYTES", 1000)
        monkeypatch.setattr(storage, "MAX_PARTS", 3)

        stored = store.put_file(source)

        assert sizes == [-(-len(CONTENT) // 3)]
        assert b"".join(store.open_range(stored.sha256, 0, len(CONTENT))) == CONTENT

    def test_equal_bytes_are_stored_once(self, store: ArtifactStore, source: Path) -> None:
        first, second = store.put_file(source), store.put_file(source)

        assert first == second
        assert first.size_bytes == len(CONTENT)

    def test_only_the_owner_can_read_stored_bytes(
        self, store: ArtifactStore, source: Path, tmp_path: Path
    ) -> None:
        store.put_file(source)

        assert stat.S_IMODE(stored_file(tmp_path).stat().st_mode) == 0o600

    def test_a_name_that_a_power_cut_left_without_its_bytes_is_filled_again(
        self, store: ArtifactStore, source: Path, tmp_path: Path
    ) -> None:
        stored = store.put_file(source)
        stored_file(tmp_path).write_bytes(b"")

        store.put_file(source)

        assert b"".join(store.open_range(stored.sha256, 0, len(CONTENT))) == CONTENT

    def test_a_full_store_is_said_and_keeps_nothing(
        self, store: ArtifactStore, source: Path, tmp_path: Path
    ) -> None:
        with files_of_at_most(1000), pytest.raises(InsufficientStorage):
            store.put_file(source)

        assert not [path for path in (tmp_path / "home" / "store").rglob("*") if path.is_file()]

    def test_a_store_that_refuses_is_out_of_reach(
        self, store: ArtifactStore, source: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "home" / "store" / "sha256").write_bytes(b"in the way")

        with pytest.raises(StoreUnavailable):
            store.put_file(source)


class TestRead:
    def test_a_range_is_read_exactly(self, store: ArtifactStore, source: Path) -> None:
        stored = store.put_file(source)

        part = b"".join(store.open_range(stored.sha256, 1000, 2_000_000))

        assert part == CONTENT[1000 : 1000 + 2_000_000]

    def test_a_local_file_is_read_in_pieces(
        self, store: ArtifactStore, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stored = store.put_file(source)
        monkeypatch.setattr(file_reader, "PIECE_BYTES", 1000)

        pieces = list(store.open_range(stored.sha256, 10, 2500))

        assert [len(piece) for piece in pieces] == [1000, 1000, 500]
        assert b"".join(pieces) == CONTENT[10:2510]

    def test_an_object_deleted_while_it_is_read_is_read_to_its_end(
        self, store: ArtifactStore, source: Path
    ) -> None:
        stored = store.put_file(source)
        pieces = store.open_range(stored.sha256, 0, len(CONTENT))

        store.delete(stored.sha256)

        assert b"".join(pieces) == CONTENT

    def test_an_object_cut_while_it_is_read_ends_with_an_error(
        self, store: ArtifactStore, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stored = store.put_file(source)
        monkeypatch.setattr(file_reader, "PIECE_BYTES", 1000)
        pieces = iter(store.open_range(stored.sha256, 0, len(CONTENT)))
        next(pieces)
        stored_file(tmp_path).write_bytes(CONTENT[:1500])

        with pytest.raises(EOFError):
            list(pieces)

    def test_fetched_bytes_are_the_ones_that_were_put(
        self, store: ArtifactStore, source: Path, tmp_path: Path
    ) -> None:
        stored = store.put_file(source)

        store.fetch(stored.sha256, tmp_path / "copy")

        assert (tmp_path / "copy").read_bytes() == CONTENT

    def test_a_flipped_bit_is_noticed_and_leaves_no_file(
        self, store: ArtifactStore, source: Path, tmp_path: Path
    ) -> None:
        stored = store.put_file(source)
        damaged = stored_file(tmp_path)
        damaged.write_bytes(b"\xff" + CONTENT[1:])

        with pytest.raises(StoredBytesCorrupt):
            store.fetch(stored.sha256, tmp_path / "copy")

        assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "source"]

    @pytest.mark.parametrize("left", [b"", CONTENT[:1000]], ids=["nothing-left", "a-part-left"])
    def test_a_cut_object_is_noticed_before_a_byte_is_sent(
        self, store: ArtifactStore, source: Path, tmp_path: Path, left: bytes
    ) -> None:
        stored = store.put_file(source)
        stored_file(tmp_path).write_bytes(left)

        with pytest.raises((StoredBytesCorrupt, StoreUnavailable)):
            store.open_range(stored.sha256, 0, len(CONTENT))

    def test_the_file_of_an_object_is_known_in_a_local_store(
        self, store: ArtifactStore, source: Path
    ) -> None:
        stored = store.put_file(source)

        file = local_file(store, stored.sha256)

        assert file is not None
        assert file.read_bytes() == CONTENT
        assert local_file(store, "0" * 64) is None

    def test_reading_missing_bytes_raises_an_error(self, store: ArtifactStore) -> None:
        with pytest.raises(FileNotFoundError):
            store.open_range("0" * 64, 0, 1)


class TestDelete:
    def test_deleted_bytes_are_gone_and_deleting_again_is_no_error(
        self, store: ArtifactStore, source: Path
    ) -> None:
        stored = store.put_file(source)

        store.delete(stored.sha256)
        store.delete(stored.sha256)

        assert not store.exists(stored.sha256)
