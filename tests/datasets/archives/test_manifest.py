"""Manifests: canonical lines, and the differences of two of them."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.packs.differences import count_differences, differences
from app.datasets.packs.manifest import (
    ManifestCorruptError,
    ManifestFile,
    manifest_files,
    read_manifest,
    write_manifest,
)
from app.datasets.reports.report import Change

pytestmark = pytest.mark.unit

IMAGES = st.dictionaries(
    st.text("ab/é ", min_size=1, max_size=4),
    st.tuples(st.sampled_from("01"), st.sampled_from(["2", "3", None])),
    max_size=8,
)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def files_of(images: dict[str, tuple[str, str | None]]) -> list[ManifestFile]:
    return [
        ManifestFile(path, digest(content), 1, 64, 48, None if label is None else digest(label))
        for path, (content, label) in sorted(images.items())
    ]


class TestManifest:
    @settings(max_examples=50, deadline=None)
    @given(images=IMAGES)
    def test_a_written_manifest_is_read_as_it_was(
        self, tmp_path_factory: pytest.TempPathFactory, images: dict[str, tuple[str, str | None]]
    ) -> None:
        path = tmp_path_factory.mktemp("manifest") / "manifest.jsonl"
        files = files_of(images)

        written = write_manifest(path, "detect", reversed(files))

        assert list(read_manifest(path)) == files
        assert written == hashlib.sha256(path.read_bytes()).hexdigest()

    @pytest.mark.parametrize(
        "line",
        [b"", b"{}", b"[" * 5000, b'{"path": 1', b'{"path": "a", "size": 1, "more": 2}', b"\xff"],
    )
    def test_a_damaged_line_is_an_error(self, line: bytes) -> None:
        with pytest.raises(ManifestCorruptError):
            list(manifest_files([b'{"format":2,"task":"detect"}', line]))

    def test_another_format_is_an_error(self) -> None:
        with pytest.raises(ManifestCorruptError, match="format 3"):
            list(manifest_files([b'{"format":3,"task":"detect"}']))


class TestDifferences:
    @settings(max_examples=100, deadline=None)
    @given(before=IMAGES, after=IMAGES)
    def test_differences_are_those_of_the_two_sets_of_paths(
        self,
        before: dict[str, tuple[str, str | None]],
        after: dict[str, tuple[str, str | None]],
    ) -> None:
        expected = dict.fromkeys(before.keys() - after.keys(), Change.REMOVED)
        expected |= dict.fromkeys(after.keys() - before.keys(), Change.ADDED)
        for path in before.keys() & after.keys():
            if before[path][0] != after[path][0]:
                expected[path] = Change.REPLACED
            elif before[path] != after[path]:
                expected[path] = Change.RELABELLED

        found = list(differences(files_of(before), files_of(after)))

        assert [item.path for item in found] == sorted(expected)
        assert {item.path: item.change for item in found} == expected

    def test_label_files_are_not_counted_beside_their_images(self) -> None:
        before = [ManifestFile("images/train/a.jpg", digest("a"), 1, 64, 48, digest("b"))]
        after = [
            ManifestFile("images/train/a.jpg", digest("a"), 1, 64, 48, digest("c")),
            ManifestFile("labels/train/a.txt", digest("c"), 1),
        ]

        assert count_differences(before, after) == {
            Change.ADDED: 0,
            Change.REMOVED: 0,
            Change.REPLACED: 0,
            Change.RELABELLED: 1,
        }
