"""No stored byte is sent before the file that holds it was hashed; damage is refused."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from app.core.guarded_files import FileRefused
from app.core.storage import ArtifactStore, StoredBytesCorrupt
from app.core.verified_files import VerifiedFiles
from tests.counting import counted

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def digest(store: ArtifactStore, tmp_path: Path) -> str:
    (tmp_path / "source").write_bytes(CONTENT)
    return store.put_file(tmp_path / "source").sha256


@pytest.fixture
def stored_file(store: ArtifactStore, digest: str) -> Path:
    assert store.local_root is not None
    return store.local_root / "sha256" / digest[:2] / digest


def served(store: ArtifactStore, digest: str) -> bytes:
    return b"".join(store.open_range(digest, 5, 100))


def flip_a_bit(path: Path, *, keep_times: bool = False) -> None:
    found, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    if keep_times:
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def replace_by_a_link(path: Path) -> None:
    other = path.with_name("other")
    path.rename(other)
    path.symlink_to(other)


def replace_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


class TestOpenRange:
    @pytest.mark.parametrize("was_served", [False, True], ids=["first", "again"])
    @pytest.mark.parametrize(
        "damage",
        [flip_a_bit, append, cut, replace_by_a_link, replace_by_a_pipe],
        ids=lambda damage: damage.__name__,
    )
    def test_r2_no_range_of_a_changed_file_is_sent(
        self,
        store: ArtifactStore,
        digest: str,
        stored_file: Path,
        damage: Callable[[Path], None],
        was_served: bool,  # noqa: FBT001 -- a parameter
    ) -> None:
        if was_served:
            served(store, digest)
        damage(stored_file)

        with pytest.raises(StoredBytesCorrupt):
            served(store, digest)

    def test_a_file_is_hashed_once_while_it_does_not_change(
        self, store: ArtifactStore, digest: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with counted(monkeypatch, os, "pread") as reads:
            for _ in range(3):
                served(store, digest)

        assert len(reads) == 2  # the file, and its end

    def test_a_file_whose_times_were_put_back_is_hashed_again(
        self, store: ArtifactStore, digest: str, stored_file: Path
    ) -> None:
        served(store, digest)
        flip_a_bit(stored_file, keep_times=True)

        with pytest.raises(StoredBytesCorrupt):
            served(store, digest)

    def test_a_restored_file_is_sent_again(
        self, store: ArtifactStore, digest: str, stored_file: Path
    ) -> None:
        flip_a_bit(stored_file)
        with pytest.raises(StoredBytesCorrupt):
            served(store, digest)

        flip_a_bit(stored_file)

        assert served(store, digest) == CONTENT[5:105]

    def test_an_object_of_a_remote_store_is_hashed_before_its_first_range(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "source").write_bytes(CONTENT)
        memory = MemoryStore()
        store = ArtifactStore(memory, local_root=None)
        digest = store.put_file(tmp_path / "source").sha256
        assert served(store, digest) == CONTENT[5:105]

        memory.put(f"sha256/{digest[:2]}/{digest}", b"x" * len(CONTENT))

        with pytest.raises(StoredBytesCorrupt):
            served(store, digest)


class TestVerifiedFiles:
    def test_damage_that_another_server_marked_is_looked_for_again(self) -> None:
        files, digest = VerifiedFiles(), "0" * 64
        files.note(digest, (1,), is_whole=True)

        assert files.is_whole(digest, (1,), lambda: [b"rotten"])  # the memory of an earlier hash
        files.put_marked([digest])

        assert not files.is_whole(digest, (1,), lambda: [b"rotten"])
        assert files.news() == {digest: False}

    def test_what_is_recorded_is_forgotten_unless_it_changed(self) -> None:
        files = VerifiedFiles()
        files.note("a", (1,), is_whole=False)
        files.put_marked(["a"])
        recorded = files.news()
        files.note("a", (2,), is_whole=True)

        files.forget_news(recorded)

        assert files.news() == {"a": True}


class TestPutOpenFile:
    def test_a_file_that_changes_while_it_is_stored_is_not_stored(
        self, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "changing"
        path.write_bytes(CONTENT)
        size_of = store._size_of

        def change(key: str) -> int | None:
            path.write_bytes(b"x" * len(CONTENT))
            return size_of(key)

        monkeypatch.setattr(store, "_size_of", change)

        with path.open("rb") as file, pytest.raises(FileRefused, match="changed"):
            store.put_open_file(file)

        assert store.local_root is not None
        assert [found for found in store.local_root.rglob("*") if found.is_file()] == []
