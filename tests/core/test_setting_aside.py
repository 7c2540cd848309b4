"""Unreferenced objects are set aside, listed, and erased later, on disk and in object stores."""

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from app.core import storage
from app.core.storage import ArtifactStore, AsideObject
from app.core.stored_objects import aside_objects, stored_digests, unfinished_files
from app.settings import Settings

CONTENT = b"bytes of an epoch " * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
DUE = datetime(2026, 11, 27, 12, tzinfo=UTC)
AT_LEISURE = timedelta(hours=1)


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """A local store, and obstore's in-memory store, which like S3 has no fsync and no links."""
    if request.param == "local":
        return ArtifactStore.from_settings(Settings(home=tmp_path / "home"))
    return ArtifactStore(MemoryStore(), local_root=None)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


def aside_in(store: ArtifactStore) -> list[AsideObject]:
    return [each for page in aside_objects(store) for each in page]


def digests_in(store: ArtifactStore) -> list[str]:
    return [digest for page in stored_digests(store) for digest in page]


class TestSetAside:
    def test_an_object_set_aside_is_listed_no_more_and_can_still_be_read(
        self, store: ArtifactStore, source: Path
    ) -> None:
        store.put_file(source)

        assert store.set_aside(SHA256, due_at=DUE, within=AT_LEISURE)

        assert (digests_in(store), aside_in(store)) == ([], [AsideObject(SHA256, DUE)])
        assert b"".join(store.open_range(SHA256, 0, len(CONTENT))) == CONTENT
        assert digests_in(store) == [SHA256], "a reader puts back what it needs"

    def test_a_fetch_finds_an_object_that_is_set_aside(
        self, store: ArtifactStore, source: Path, tmp_path: Path
    ) -> None:
        store.put_file(source)
        store.set_aside(SHA256, due_at=DUE, within=AT_LEISURE)

        store.fetch(SHA256, tmp_path / "copy")

        assert (tmp_path / "copy").read_bytes() == CONTENT

    def test_storing_bytes_again_does_not_rely_on_an_object_set_aside(
        self, store: ArtifactStore, source: Path
    ) -> None:
        store.put_file(source)
        store.set_aside(SHA256, due_at=DUE, within=AT_LEISURE)

        store.put_file(source)
        store.erase(AsideObject(SHA256, DUE))

        assert b"".join(store.open_range(SHA256, 0, len(CONTENT))) == CONTENT

    def test_an_object_that_took_too_long_to_set_aside_stays_where_it_is(
        self, store: ArtifactStore, source: Path
    ) -> None:
        store.put_file(source)

        assert not store.set_aside(SHA256, due_at=DUE, within=timedelta())

        assert digests_in(store) == [SHA256]

    def test_setting_a_missing_object_aside_is_no_error(self, store: ArtifactStore) -> None:
        assert store.set_aside(SHA256, due_at=DUE, within=AT_LEISURE)

        assert aside_in(store) == []

    def test_a_large_object_goes_through_this_process(
        self, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = ArtifactStore(MemoryStore(), local_root=None)
        store.put_file(source)
        monkeypatch.setattr(storage, "MAX_COPY_BYTES", 1000)

        store.set_aside(SHA256, due_at=DUE, within=AT_LEISURE)

        assert b"".join(store.open_range(SHA256, 0, len(CONTENT))) == CONTENT


class TestErase:
    def test_an_erased_object_is_gone_and_erasing_it_again_is_no_error(
        self, store: ArtifactStore, source: Path
    ) -> None:
        store.put_file(source)
        store.set_aside(SHA256, due_at=DUE, within=AT_LEISURE)

        store.erase(AsideObject(SHA256, DUE))
        store.erase(AsideObject(SHA256, DUE))

        assert not store.restore(SHA256)
        with pytest.raises(FileNotFoundError):
            store.open_range(SHA256, 0, 1)

    def test_an_earlier_time_aside_is_not_a_later_one(
        self, store: ArtifactStore, source: Path
    ) -> None:
        store.put_file(source)
        store.set_aside(SHA256, due_at=DUE + AT_LEISURE, within=AT_LEISURE)

        store.erase(AsideObject(SHA256, DUE))  # a decision of long ago, by a collector that slept

        assert store.restore(SHA256)


class TestUnfinished:
    def test_only_old_parts_of_files_are_listed_as_unfinished(
        self, tmp_path: Path, source: Path
    ) -> None:
        store = ArtifactStore.from_settings(Settings(home=tmp_path / "home"))
        store.put_file(source)
        folder = next((tmp_path / "home" / "store").glob("sha256/*"))
        old, new = folder / f"{SHA256}#1", folder / f"{SHA256}#2"
        for path in (old, new):
            path.write_bytes(CONTENT[:100])
        os.utime(old, (DUE.timestamp() - 1, DUE.timestamp() - 1))

        assert unfinished_files(store, before=DUE) == [old]
        assert digests_in(store) == [SHA256]
