"""Versions of datasets share the bytes of equal files, and each use verifies what it takes."""

import errno
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.core.storage import ArtifactStore, StoredBytesCorrupt
from app.datasets.packs.extract import materialise_view
from app.datasets.packs.manifest import ManifestFile, write_manifest
from app.datasets.packs.pack import PackCorruptError, PackWriter
from worker.dataset_cache.cache import DatasetCache
from worker.dataset_cache.entry import CachedVersion, bytes_in, take_file
from worker.dataset_cache.objects import ObjectFolder, link_or_copy
from worker.dataset_cache.prepared import PreparedData
from worker.dataset_cache.sources import ManifestAndPacks, WholePack

FILE_BYTES = 1000
MAKER = {"ultralytics": "1"}
A, B, C = "images/train/a.png", "images/train/b.png", "images/train/c.png"


@dataclass(frozen=True)
class Place:
    """Where the bytes of a file lie."""

    pack_sha256: str
    offset: int
    size: int


def content_of(letter: str) -> bytes:
    return letter.encode() * FILE_BYTES


def digest_of(letter: str) -> str:
    return hashlib.sha256(content_of(letter)).hexdigest()


def a_cache(folder: Path, *, limit_bytes: int = 2**30) -> DatasetCache:
    return DatasetCache(folder / "datasets", limit_bytes)


def a_pack(store: ArtifactStore, folder: Path, files: Mapping[str, str]) -> WholePack:
    """Store a pack whose files have the contents of these letters."""
    path = folder / "some.zip"
    with PackWriter(path) as pack:
        for name, letter in files.items():
            pack.add(name, content_of(letter))
    return WholePack(store, store.put_file(path).sha256)


def listed(
    store: ArtifactStore, folder: Path, files: Mapping[str, str], **damage: str
) -> ManifestAndPacks:
    """Store the contents of all letters one after another; return a version of these files."""
    letters = sorted(set(files.values()))
    stored = folder / "bytes"
    stored.write_bytes(b"".join(b"--" + content_of(damage.get(each, each)) for each in letters))
    pack = store.put_file(stored).sha256
    places = {
        digest_of(letter): Place(pack, 2 + number * (2 + FILE_BYTES), FILE_BYTES)
        for number, letter in enumerate(letters)
    }
    key = a_manifest(store, folder, files)
    return ManifestAndPacks(store, key, lambda digests: {each: places[each] for each in digests})


def a_manifest(store: ArtifactStore, folder: Path, files: Mapping[str, str]) -> str:
    listed = [ManifestFile(path, digest_of(each), FILE_BYTES) for path, each in files.items()]
    write_manifest(folder / "manifest.jsonl", "detect", listed)
    return store.put_file(folder / "manifest.jsonl").sha256


def tree(version: CachedVersion) -> dict[str, bytes]:
    files = (path for path in version.files.rglob("*") if path.is_file())
    return {path.relative_to(version.files).as_posix(): path.read_bytes() for path in files}


class TestVersionsOfManyPacks:
    def test_a_listed_version_has_its_files_from_the_packs(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        source = listed(store, tmp_path, {A: "a", B: "b", C: "a"})

        with a_cache(tmp_path).entry(source) as version:
            found = tree(version)

        assert found == {A: content_of("a"), B: content_of("b"), C: content_of("a")}

    def test_a_version_reads_only_what_no_other_version_has(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        cache = a_cache(tmp_path)
        asked: list[str] = []
        with cache.entry(a_pack(store, tmp_path, {A: "a", B: "b"})):
            pass
        source = listed(store, tmp_path, {B: "a", C: "c"})

        def places(digests: list[str]) -> Mapping[str, Place]:
            asked.extend(digests)
            return source.places(digests)  # type: ignore[return-value]

        with cache.entry(ManifestAndPacks(store, source.key, places)) as version:
            found = tree(version)

        assert asked == [digest_of("c")]
        assert found == {B: content_of("a"), C: content_of("c")}

    def test_bytes_with_another_digest_are_refused(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        source = listed(store, tmp_path, {A: "a", B: "b"}, b="x")

        with pytest.raises(StoredBytesCorrupt), a_cache(tmp_path).entry(source):
            pytest.fail("a damaged dataset was handed out")

    def test_a_file_without_a_place_is_missing(self, store: ArtifactStore, tmp_path: Path) -> None:
        source = ManifestAndPacks(store, a_manifest(store, tmp_path, {A: "a"}), lambda _: {})

        with pytest.raises(FileNotFoundError), a_cache(tmp_path).entry(source):
            pytest.fail("an incomplete dataset was handed out")

    @pytest.mark.parametrize("path", ["../a.png", "/a.png", "images/../../a.png"])
    def test_a_path_that_leads_out_is_refused(
        self, path: str, store: ArtifactStore, tmp_path: Path
    ) -> None:
        source = listed(store, tmp_path, {path: "a"})

        with pytest.raises(PackCorruptError), a_cache(tmp_path).entry(source):
            pytest.fail("a file was written elsewhere")


class TestSharing:
    def test_equal_files_of_two_versions_are_one_file(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        cache = a_cache(tmp_path)
        packs = [a_pack(store, tmp_path, {A: "a", B: other}) for other in "bc"]

        with cache.entry(packs[0]) as first, cache.entry(packs[1]) as second:
            assert (first.files / A).samefile(second.files / A)
            assert not (first.files / B).samefile(second.files / B)
            assert bytes_in(tmp_path / "datasets" / "objects") == 3 * FILE_BYTES

    def test_a_damaged_file_of_one_version_does_not_reach_another(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        cache = a_cache(tmp_path)
        packs = [a_pack(store, tmp_path, {A: "a", B: other}) for other in "bc"]
        with cache.entry(packs[0]) as first:
            (first.files / A).chmod(0o600)
            (first.files / A).write_bytes(content_of("x"))

        with cache.entry(packs[1]) as second:
            assert tree(second)[A] == content_of("a")

    @pytest.mark.parametrize("change", ["rewritten", "replaced", "added", "removed"])
    def test_a_version_that_was_changed_is_made_again(
        self, change: str, store: ArtifactStore, tmp_path: Path
    ) -> None:
        cache, source = a_cache(tmp_path), a_pack(store, tmp_path, {A: "a", B: "b"})
        with cache.entry(source) as version:
            version.unseal()
            image = version.files / A
            if change == "rewritten":
                image.chmod(0o600)
                image.write_bytes(content_of("x"))
            elif change == "replaced":
                (version.files / "new").write_bytes(content_of("x"))
                (version.files / "new").replace(image)
            elif change == "added":
                (version.files / "images/train/a.npy").write_bytes(b"x")
            else:
                image.unlink()

        with cache.entry(source) as version:
            assert tree(version) == {A: content_of("a"), B: content_of("b")}

    def test_files_and_folders_are_read_only(self, store: ArtifactStore, tmp_path: Path) -> None:
        with a_cache(tmp_path).entry(a_pack(store, tmp_path, {A: "a"})) as version:
            paths = [version.files, *version.files.rglob("*")]

            assert {path.stat().st_mode & 0o222 for path in paths} == {0}

    def test_an_entry_of_an_earlier_release_is_replaced(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        source = a_pack(store, tmp_path, {A: "a"})
        earlier = tmp_path / "datasets" / source.key / A
        earlier.parent.mkdir(parents=True)
        earlier.write_bytes(content_of("a"))

        with a_cache(tmp_path).entry(source) as version:
            assert tree(version) == {A: content_of("a")}

        assert not earlier.exists()

    def test_eviction_frees_only_files_that_no_other_version_has(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        packs = [a_pack(store, tmp_path, {A: "a", B: other}) for other in "bc"]
        for pack in packs:
            with a_cache(tmp_path).entry(pack):
                pass

        a_cache(tmp_path, limit_bytes=2 * FILE_BYTES + FILE_BYTES // 2).evict()

        objects = {path.name for path in (tmp_path / "datasets/objects").glob("*/*")}
        assert objects == {digest_of("a"), digest_of("c")}
        assert [(tmp_path / "datasets" / pack.key).exists() for pack in packs] == [False, True]


class TestLinks:
    @pytest.mark.parametrize("number", [errno.EMLINK, errno.EPERM, errno.EXDEV])
    def test_a_file_that_cannot_be_linked_is_copied(
        self, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a").write_bytes(content_of("a"))

        def refuse(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("worker.dataset_cache.objects.os.link", refuse)
        link_or_copy(tmp_path / "a", tmp_path / "b")

        assert (tmp_path / "b").read_bytes() == content_of("a")
        assert not (tmp_path / "a").samefile(tmp_path / "b")

    def test_unused_objects_are_removed(self, tmp_path: Path) -> None:
        objects = ObjectFolder(tmp_path / "objects")
        for letter in "ab":
            (tmp_path / letter).write_bytes(content_of(letter))
            objects.add(digest_of(letter), tmp_path / letter)
        (tmp_path / "a").unlink()

        objects.remove_unused()

        assert [path.name for path in (tmp_path / "objects").glob("*/*")] == [digest_of("b")]


class TestArrays:
    def test_arrays_are_unknown_once_a_file_was_changed(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        with a_cache(tmp_path).entry(a_pack(store, tmp_path, {A: "a"})) as version:
            prepared = PreparedData(version)
            folder = prepared.make_folder_for_arrays()
            (folder / A).with_suffix(".npy").write_bytes(b"array")
            prepared.note_arrays(MAKER, sha256=digest_of("a"))
            complete = prepared.has_arrays(MAKER)
            (folder / A).with_suffix(".npy").write_bytes(b"other")

            assert (complete, prepared.has_arrays(MAKER)) == (True, False)

    def test_arrays_of_other_packages_are_not_used(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        with a_cache(tmp_path).entry(a_pack(store, tmp_path, {A: "a"})) as version:
            prepared = PreparedData(version)
            prepared.make_folder_for_arrays()
            prepared.note_arrays(MAKER, sha256=digest_of("a"))

            assert not prepared.has_arrays({"ultralytics": "2"})

    def test_arrays_and_scans_count_as_bytes_of_the_cache(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        cache = a_cache(tmp_path)
        with cache.entry(a_pack(store, tmp_path, {A: "a"})) as version:
            before = bytes_in(cache.folder)
            prepared = PreparedData(version)
            array = (prepared.make_folder_for_arrays() / A).with_suffix(".npy")
            array.write_bytes(content_of("n"))
            prepared.scan_file("detect").write_bytes(content_of("s"))

        assert bytes_in(cache.folder) == before + 2 * FILE_BYTES

    def test_room_for_arrays_is_made_by_evicting_unused_versions(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        packs = [a_pack(store, tmp_path, {A: letter}) for letter in "ab"]
        cache = a_cache(tmp_path, limit_bytes=3 * FILE_BYTES)
        for pack in packs:
            with cache.entry(pack):
                pass

        with cache.entry(packs[1]) as version:
            has_room = cache.has_room_for(FILE_BYTES + FILE_BYTES // 2)

            assert has_room
            assert version.files.is_dir()
        assert not (cache.folder / packs[0].key).exists()

    def test_there_is_no_room_for_arrays_beyond_the_limit(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        cache = a_cache(tmp_path, limit_bytes=2 * FILE_BYTES)

        with cache.entry(a_pack(store, tmp_path, {A: "a"})) as version:
            assert not cache.has_room_for(FILE_BYTES + 1)
            assert version.files.is_dir()


class TestRepairedFiles:
    """What a process wrote into its view of a version, and the worker takes."""

    def test_a_repaired_file_replaces_that_of_the_version_only(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        with a_cache(tmp_path).entry(a_pack(store, tmp_path, {A: "a"})) as version:
            view = tmp_path / "view"
            materialise_view(version.files, view)
            (view / A).unlink()
            (view / A).write_bytes(b"repaired")
            (view / "new").write_bytes(b"not of the version")

            version.take_repaired(view)

            assert (version.files / A).read_bytes() == b"repaired"
            assert not (version.files / "new").exists()
            assert version.is_unchanged()

    @pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
    def test_a_file_that_is_not_a_regular_one_is_not_taken(self, kind: str, tmp_path: Path) -> None:
        source = tmp_path / "source"
        if kind == "link":
            source.symlink_to("/etc/passwd")
        elif kind == "pipe":
            os.mkfifo(source)
        else:
            source.mkdir()

        with pytest.raises(OSError, match="no regular file"):
            take_file(source, tmp_path / "to")
