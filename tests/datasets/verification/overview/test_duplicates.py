"""Images that look alike are found without comparing all pairs, and others are not."""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
import pytest

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings
from app.datasets.reports.overview import MAX_FILES_OF_GROUP, DuplicateGroup
from app.datasets.reports.report import Split
from app.datasets.verification.checks.decoding import Pixels
from app.datasets.verification.overview.duplicates import DuplicateFinder, report_near
from app.datasets.verification.overview.thumbnails import Thumbnails

Noted = tuple[Split, str, Pixels]


def a_scene(seed: int, width: int = 320, height: int = 240) -> Pixels:
    """Return smooth random patches: a different picture for each seed."""
    patches = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)


def as_jpeg(pixels: Pixels, quality: int = 60) -> Pixels:
    _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(content, cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded


def near(images: list[Noted]) -> list[DuplicateGroup]:
    duplicates, thumbnails = DuplicateFinder(), Thumbnails()
    for split, path, pixels in images:
        duplicates.note(split, path, str(hash(pixels.tobytes())))
        thumbnails.note(pixels)
    return duplicates.near(thumbnails.grays())


CHANGES: Mapping[str, Callable[[Pixels], Pixels]] = {
    "re-encoded": as_jpeg,
    "halved": lambda pixels: cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "enlarged": lambda pixels: cv2.resize(pixels, None, fx=2, fy=2),
    "brightened": lambda pixels: cv2.convertScaleAbs(pixels, alpha=0.8, beta=30),
}


class TestExact:
    def test_equal_bytes_are_one_group_with_an_image_of_each_split_first(self) -> None:
        duplicates = DuplicateFinder()
        for number in range(60):
            duplicates.note("train", f"images/train/{number:02}.jpg", "a")
        duplicates.note("val", "images/val/0.jpg", "a")
        duplicates.note("val", "images/val/1.jpg", "b")

        (group,) = duplicates.exact()

        assert (group.images, group.splits) == (61, {"train": 60, "val": 1})
        assert group.files[:3] == [
            "images/train/00.jpg",
            "images/val/0.jpg",
            "images/train/01.jpg",
        ]
        assert len(group.files) == MAX_FILES_OF_GROUP

    def test_groups_across_splits_come_first(self) -> None:
        duplicates = DuplicateFinder()
        for split, path, digest in (
            ("train", "1", "a"),
            ("train", "2", "a"),
            ("train", "3", "a"),
            ("train", "4", "b"),
            ("val", "5", "b"),
        ):
            duplicates.note(split, path, digest)  # type: ignore[arg-type]  # a literal in a loop

        assert [group.images for group in duplicates.exact()] == [2, 3]


class TestNear:
    @pytest.mark.parametrize("change", CHANGES)
    def test_a_changed_copy_looks_alike(self, change: str) -> None:
        scenes: list[Noted] = [("train", f"{seed}", a_scene(seed)) for seed in range(30)]

        groups = near([*scenes, ("val", "copy", CHANGES[change](a_scene(7)))])

        assert [group.files for group in groups] == [["7", "copy"]]

    def test_images_with_equal_bytes_alone_are_no_near_group(self) -> None:
        assert near([("train", "1", a_scene(1)), ("val", "2", a_scene(1))]) == []

    def test_images_of_one_colour_do_not_look_alike(self) -> None:
        plain: list[Noted] = [
            ("train", str(level), np.full((64, 64, 3), level, np.uint8))
            for level in range(0, 250, 5)
        ]

        assert near(plain) == []

    def test_gray_and_many_channels_are_compared_by_the_first(self) -> None:
        gray = cv2.cvtColor(a_scene(3), cv2.COLOR_BGR2GRAY)[..., None]
        five = np.repeat(gray, 5, axis=2)

        assert len(near([("train", "1", gray), ("train", "2", five)])) == 1

    def test_the_frames_of_a_static_camera_are_one_group(self) -> None:
        rng = np.random.default_rng(0)
        scene = a_scene(5).astype(np.int16)
        frames: list[Noted] = [
            (
                "train",
                str(number),
                np.clip(scene + rng.integers(-3, 4, scene.shape), 0, 255).astype(np.uint8),
            )
            for number in range(100)
        ]

        assert [group.images for group in near(frames)] == [100]

    def test_groups_across_splits_are_a_warning_and_others_an_info(self) -> None:
        findings = Findings()
        across = DuplicateGroup(images=2, splits={"train": 1, "val": 1}, files=["a", "b"])
        within = DuplicateGroup(images=3, splits={"val": 3}, files=["c", "d", "e"])

        report_near([across, within], findings)

        assert {found.code: found.severity.value for found in findings.kept()} == {
            Code.SPLIT_LOOKALIKE: "warning",
            Code.IMAGE_LOOKALIKE: "info",
        }
