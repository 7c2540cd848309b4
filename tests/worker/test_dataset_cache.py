"""Datasets on disk are fetched once, verified, and never evicted while a job trains on them."""

import fcntl
from pathlib import Path

import pytest

from app.core.guarded_files import remove_tree
from app.core.storage import ArtifactStore, StoredBytesCorrupt
from app.datasets.packs.pack import PackWriter
from worker.dataset_cache.cache import DatasetCache
from worker.dataset_cache.entry import bytes_in
from worker.dataset_cache.sources import WholePack

FILE_BYTES = 1000


def a_cache(folder: Path, *, limit_bytes: int = 2**30) -> DatasetCache:
    return DatasetCache(folder / "datasets", limit_bytes)


def a_pack(store: ArtifactStore, folder: Path, content: str) -> str:
    """Store a pack of one file and return its digest."""
    path = folder / f"{content}.zip"
    with PackWriter(path) as pack:
        pack.add("images/train/0.png", content.encode() * FILE_BYTES)
    return store.put_file(path).sha256


LEVELS = 1200
"""More than Python calls functions inside of each other."""


class NotWanted(Exception):
    """The error that a failing check raises."""


def leave() -> None:
    raise NotWanted


def damage(folder: Path, digest: str) -> None:
    (stored,) = (folder / "home" / "store").rglob(digest)
    stored.write_bytes(stored.read_bytes() + b"!")


class TestDatasetCache:
    def test_an_entry_of_the_cache_has_the_files_of_the_pack(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        digest = a_pack(store, tmp_path, "a")

        with a_cache(tmp_path).entry(WholePack(store, digest)) as version:
            content = (version.files / "images/train/0.png").read_bytes()

        assert content == b"a" * FILE_BYTES

    def test_the_cache_fetches_a_pack_once(self, store: ArtifactStore, tmp_path: Path) -> None:
        digest = a_pack(store, tmp_path, "a")
        cache = a_cache(tmp_path)
        with cache.entry(WholePack(store, digest)):
            store.delete(digest)

        with cache.entry(WholePack(store, digest)) as version:
            assert version.files.is_dir()

    def test_two_slots_use_one_entry_at_a_time(self, store: ArtifactStore, tmp_path: Path) -> None:
        digest = a_pack(store, tmp_path, "a")

        with (
            a_cache(tmp_path).entry(WholePack(store, digest)) as first,
            a_cache(tmp_path).entry(WholePack(store, digest)) as second,
        ):
            assert first == second

    def test_a_pack_that_is_not_wanted_any_more_is_not_fetched(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        cache, digest = a_cache(tmp_path), a_pack(store, tmp_path, "one")

        with pytest.raises(NotWanted), cache.entry(WholePack(store, digest), check=leave):
            pass

        with cache.entry(WholePack(store, digest)) as version:
            assert version.files.is_dir()

    def test_nobody_waits_for_another_slot_that_fetches_once_it_is_not_wanted(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        cache, digest = a_cache(tmp_path), a_pack(store, tmp_path, "one")
        cache.folder.mkdir(parents=True)
        with (cache.folder / f"{digest}.lock").open("wb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)

            with pytest.raises(NotWanted), cache.entry(WholePack(store, digest), check=leave):
                pass

    def test_a_damaged_pack_is_refused_and_leaves_nothing(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        digest = a_pack(store, tmp_path, "a")
        damage(tmp_path, digest)

        with pytest.raises(StoredBytesCorrupt), a_cache(tmp_path).entry(WholePack(store, digest)):
            pytest.fail("a damaged dataset was handed out")

        assert {each.name for each in (tmp_path / "datasets").iterdir()} == {f"{digest}.lock"}

    def test_a_pack_that_a_killed_process_left_half_extracted_is_extracted_again(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        digest = a_pack(store, tmp_path, "a")
        leftover = tmp_path / "datasets" / f".{digest}.partial" / "content"
        leftover.mkdir(parents=True)
        (leftover / "half").touch()

        with a_cache(tmp_path).entry(WholePack(store, digest)) as version:
            assert not (version.files / "half").exists()

        assert not leftover.exists()

    def test_the_least_recently_used_entry_goes_first(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        packs = [a_pack(store, tmp_path, content) for content in ("a", "b", "c")]
        cache = a_cache(tmp_path, limit_bytes=3 * FILE_BYTES)
        for digest in (packs[0], packs[1], packs[0]):
            with cache.entry(WholePack(store, digest)):
                pass

        cache = a_cache(tmp_path, limit_bytes=FILE_BYTES + FILE_BYTES // 2)
        cache.evict()

        folder = tmp_path / "datasets"
        assert [(folder / digest).is_dir() for digest in packs] == [True, False, False]

    def test_an_entry_whose_eviction_was_cut_short_is_made_anew(
        self, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        digest = a_pack(store, tmp_path, "a")
        cache = a_cache(tmp_path, limit_bytes=0)
        with cache.entry(WholePack(store, digest)):
            pass

        def killed_half_way(folder: Path, **_: object) -> None:
            for image in folder.rglob("*.png"):
                image.unlink()
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("worker.dataset_cache.entry.shutil.rmtree", killed_half_way)
            with pytest.raises(KeyboardInterrupt):
                cache.evict()

        with a_cache(tmp_path).entry(WholePack(store, digest)) as version:
            assert (version.files / "images/train/0.png").is_file()

    def test_an_entry_in_use_is_not_evicted(self, store: ArtifactStore, tmp_path: Path) -> None:
        digest = a_pack(store, tmp_path, "a")
        cache = a_cache(tmp_path, limit_bytes=0)

        with cache.entry(WholePack(store, digest)) as version:
            a_cache(tmp_path, limit_bytes=0).evict()
            in_use = version.files.is_dir()
        cache.evict()

        assert (in_use, version.folder.exists()) == (True, False)


class TestBytesIn:
    def test_a_folder_of_a_thousand_levels_is_measured_to_its_end(self, tmp_path: Path) -> None:
        deepest = tmp_path
        for _ in range(LEVELS):
            deepest /= "d"
            deepest.mkdir()
        (deepest / "file").write_bytes(b"123")

        measured = bytes_in(tmp_path)

        remove_tree(tmp_path / "d")  # pytest would do it by recursion
        assert measured == 3
