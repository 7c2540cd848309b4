"""Splits that are missing are made, and those of the author stay."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.tasks import Task
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Finding
from app.datasets.reports.report import Split, SplitShares
from app.datasets.verification.dataset_yaml import DatasetFields
from app.datasets.verification.source import Source, SourceImage, Upload
from app.datasets.verification.splits import complete_splits
from tests.datasets.albums import a_copy, a_photograph, an_upload
from tests.datasets.builders import a_mask, shapes_of

Open = Callable[..., Upload]
Images = dict[Split | None, list[SourceImage]]

NAMES = ["disc", "ring", "bar"]
PHOTOGRAPHS = {f"{number:02d}.jpg": a_photograph(number) for number in range(24)}
COPIES = {f"copy{number:02d}.jpg": a_copy(number) for number in range(24)}


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens files as an upload until the test ends."""
    with ExitStack() as stack:
        yield lambda files, splits=None: stack.enter_context(
            an_upload(tmp_path / "a.zip", files, splits)
        )


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upload]:
    """An upload of photographs and of one copy of each."""
    path = tmp_path_factory.mktemp("album") / "a.zip"
    with an_upload(path, PHOTOGRAPHS | COPIES) as upload:
        yield upload


def row_of(*classes: int) -> bytes:
    return b"".join(b"%d 0.5 0.5 0.2 0.2\n" % number for number in classes)


def an_image(name: str, *classes: int) -> SourceImage:
    return SourceImage(name, name, rows=row_of(*classes))


def numbered(first: int, last: int, classes: int = 2) -> list[SourceImage]:
    return [an_image(f"{number:02d}.jpg", number % classes) for number in range(first, last)]


def a_source(images: Images, task: Task = "detect", channels: int = 3) -> Source:
    return Source("YOLO", task, NAMES, images, DatasetFields(channels=channels))


def places(source: Source) -> dict[str, Split | None]:
    return {image.image: split for split, held in source.images.items() for image in held}


def sizes(source: Source) -> dict[Split | None, int]:
    return {split: len(images) for split, images in source.images.items()}


def the_finding(upload: Upload) -> Finding:
    (found,) = upload.findings.kept()
    return found


class TestSplitsOfTheAuthor:
    def test_train_and_val_stay_and_images_of_no_split_stay_outside(self, opened: Open) -> None:
        upload = opened(PHOTOGRAPHS)
        source = a_source({"train": numbered(0, 2), "val": numbered(2, 3), None: numbered(3, 6)})
        before = places(source)

        complete_splits(source, upload)

        assert places(source) == before
        assert upload.findings.kept() == []

    def test_test_becomes_val_where_classes_have_no_val(self, opened: Open) -> None:
        upload = opened({"unread.jpg": b""})
        source = a_source({"train": numbered(0, 6), "test": numbered(6, 12)}, "classify")

        complete_splits(source, upload)

        assert sizes(source) == {"train": 6, "val": 6}
        assert the_finding(upload).code is Code.SPLIT_MADE
        assert "the 6 images of test are val" in the_finding(upload).message

    @pytest.mark.parametrize("split", ["val", "test"])
    def test_a_set_without_train_is_told_of_the_parameter(self, opened: Open, split: Split) -> None:
        upload = opened(PHOTOGRAPHS)
        source = a_source({split: numbered(0, 6), "train": []})

        complete_splits(source, upload)

        assert the_finding(upload).code is Code.SPLIT_MISSING
        assert f"images in {split}, but none in train" in the_finding(upload).message
        assert "`splits`" in the_finding(upload).message

    def test_one_image_cannot_be_divided(self, opened: Open) -> None:
        upload = opened(PHOTOGRAPHS)
        source = a_source({"train": numbered(0, 1)})

        complete_splits(source, upload)

        assert (the_finding(upload).code, the_finding(upload).file) == (
            Code.SPLIT_MISSING,
            "00.jpg",
        )
        assert sizes(source) == {"train": 1}

    def test_no_image_at_all_is_not_a_question_of_splits(self, opened: Open) -> None:
        upload = opened(PHOTOGRAPHS)
        source = a_source({"train": []})

        complete_splits(source, upload)

        assert upload.findings.kept() == []


class TestMissingSplits:
    def test_val_is_a_fifth_of_train_while_test_stays(self, opened: Open) -> None:
        upload = opened(PHOTOGRAPHS)
        source = a_source(
            {"train": numbered(0, 10), "test": numbered(10, 14), None: numbered(14, 16)}
        )

        complete_splits(source, upload)

        assert sizes(source) == {"train": 8, "val": 2, "test": 4, None: 2}
        assert the_finding(upload).code is Code.SPLIT_MADE
        assert the_finding(upload).message == (
            "val was missing, so the 10 images of train were divided by the shares train 0.8,"
            " val 0.2: train 8, val 2 images. val has 2 of 2 classes. Images that look alike stay"
            " together if that costs val no class. Send `splits` to divide all images by other"
            " shares."
        )

    def test_a_set_without_splits_is_divided(self, opened: Open) -> None:
        upload = opened(PHOTOGRAPHS)
        source = a_source({None: numbered(0, 8)})

        complete_splits(source, upload)

        assert sizes(source) == {"train": 6, "val": 2}
        assert "No image was in a split, so the 8 images of the archive" in (
            the_finding(upload).message
        )

    def test_both_splits_have_each_class_of_classification(self, opened: Open) -> None:
        upload = opened(PHOTOGRAPHS)
        images = [SourceImage(name, name, label=int(name[:2]) // 3) for name in PHOTOGRAPHS]
        source = a_source({None: images[:6]}, "classify")

        complete_splits(source, upload)

        assert sizes(source) == {"train": 4, "val": 2}
        assert {image.label for image in source.images["val"]} == {0, 1}
        assert "val is larger than its share" in the_finding(upload).message

    def test_the_images_keep_their_order(self, opened: Open) -> None:
        upload = opened(PHOTOGRAPHS)
        images = numbered(0, 20)[::-1]
        source = a_source({"train": images})

        complete_splits(source, upload)

        for split in ("train", "val"):
            assert source.images[split] == [
                image for image in images if image in source.images[split]
            ]


class TestGivenShares:
    def test_all_images_are_divided_again(self, opened: Open) -> None:
        upload = opened(PHOTOGRAPHS, SplitShares(train=0.5, val=0.3, test=0.2))
        source = a_source(
            {"train": numbered(0, 12), "val": numbered(12, 16), None: numbered(16, 20)}
        )

        complete_splits(source, upload)

        assert sizes(source) == {"train": 10, "val": 6, "test": 4}
        assert the_finding(upload).message.startswith(
            "The 20 images of train and val and no split were divided again by `splits`, train 0.5,"
            " val 0.3, test 0.2: train 10, val 6, test 4 images. val has 2 of 2 classes."
        )

    def test_an_image_of_two_splits_counts_once(self, opened: Open) -> None:
        upload = opened(PHOTOGRAPHS, SplitShares())
        source = a_source({"train": numbered(0, 10), "val": numbered(0, 10)})

        complete_splits(source, upload)

        assert sizes(source) == {"train": 8, "val": 2}
        assert len(places(source)) == 10

    def test_images_of_several_splits_are_sorted_by_name(self, opened: Open) -> None:
        upload = opened(PHOTOGRAPHS, SplitShares())
        source = a_source({"train": numbered(10, 20), "val": numbered(0, 10)})

        complete_splits(source, upload)

        names = [image.name for image in source.images["train"]]
        assert names == sorted(names)


class TestClasses:
    def test_classes_are_read_from_label_files(self, opened: Open) -> None:
        labels = {f"{n:02d}.txt": b"\xef\xbb\xbf1.0 0.5 0.5 0.2 0.2\n\n" for n in (4, 7)}
        images = [
            SourceImage(name, name, target=label if label in labels else None)
            for name in sorted(PHOTOGRAPHS)
            for label in [name.replace("jpg", "txt")]
        ]
        upload = opened(PHOTOGRAPHS | labels)
        source = a_source({"train": images})

        complete_splits(source, upload)

        assert {places(source)["04.jpg"], places(source)["07.jpg"]} == {"train", "val"}

    @pytest.mark.parametrize(
        "content",
        [b"", b"\xff\xfe\x00", b"nan 1", b"9" * 400, b"-1 0", b"3 0", b"0.5 0", b"\x00" * 9],
    )
    def test_damaged_labels_are_of_no_class(self, opened: Open, content: bytes) -> None:
        upload = opened(PHOTOGRAPHS | {"a.txt": content})
        images = [SourceImage(name, name, target="a.txt") for name in PHOTOGRAPHS]
        source = a_source({"train": images})

        complete_splits(source, upload)

        assert sizes(source) == {"train": 19, "val": 5}
        assert "classes" not in the_finding(upload).message

    def test_a_damaged_image_does_not_stand_for_its_class(self, opened: Open) -> None:
        upload = opened(PHOTOGRAPHS | {"00.jpg": b"<html>", "01.jpg": a_photograph(1)[:600]})
        images = [an_image(name, 1 if int(name[:2]) < 4 else 0) for name in PHOTOGRAPHS]
        source = a_source({"train": images})

        complete_splits(source, upload)

        assert {places(source)["02.jpg"], places(source)["03.jpg"]} == {"train", "val"}
        assert [found.code for found in upload.findings.kept()] == [Code.SPLIT_MADE]

    def test_an_image_of_eight_channels_stands_for_its_class(self, opened: Open) -> None:
        upload = opened(PHOTOGRAPHS | {"00.jpg": b"II*\x00", "01.jpg": b"II*\x00"})
        images = [an_image(name, int(int(name[:2]) < 2)) for name in PHOTOGRAPHS]
        source = a_source({"train": images}, channels=8)

        complete_splits(source, upload)

        assert {places(source)["00.jpg"], places(source)["01.jpg"]} == {"train", "val"}

    def test_masks_are_one_class(self, opened: Open) -> None:
        upload = opened(PHOTOGRAPHS | {"mask.png": a_mask(shapes_of(0))})
        images = [SourceImage(name, name, target="mask.png") for name in PHOTOGRAPHS]
        source = a_source({None: images[:8]}, "semantic")
        source.has_masks = True

        complete_splits(source, upload)

        assert sizes(source) == {"train": 6, "val": 2}
        assert "classes" not in the_finding(upload).message


class TestImagesThatLookAlike:
    def test_copies_are_in_one_split(self, album: Upload) -> None:
        images = [an_image(name, 0) for name in (*PHOTOGRAPHS, *COPIES)]
        source = a_source({"train": images})

        complete_splits(source, album)

        place = places(source)
        assert all(place[name] == place[f"copy{name}"] for name in PHOTOGRAPHS)
        assert sizes(source) == {"train": 38, "val": 10}

    def test_copies_are_parted_if_a_class_has_no_other_image(self, album: Upload) -> None:
        images = [an_image(name, int(name == "07.jpg")) for name in PHOTOGRAPHS]
        source = a_source({"train": [*images, an_image("copy07.jpg", 1)]})

        complete_splits(source, album)

        assert {places(source)["07.jpg"], places(source)["copy07.jpg"]} == {"train", "val"}

    def test_a_set_of_one_scene_is_divided_too(self, opened: Open) -> None:
        frames = {f"{n:02d}.jpg": a_copy(0, 0.8 + n / 100) for n in range(20)}
        upload = opened(frames)
        source = a_source({"train": [an_image(name, 0) for name in frames]})

        complete_splits(source, upload)

        assert sizes(source) == {"train": 16, "val": 4}


@dataclass(frozen=True)
class Drawn:
    """A random pool: some images of the album with random classes."""

    images: list[SourceImage]
    seed: int


POOLS = st.builds(
    lambda classes, seed: Drawn(
        [an_image(name, *found) for name, found in zip(sorted(PHOTOGRAPHS), classes, strict=False)],
        seed,
    ),
    st.lists(st.sets(st.integers(0, 2)), min_size=2, max_size=24),
    st.integers(0, 1000),
)


class TestEveryPool:
    @settings(max_examples=20)
    @given(drawn=POOLS)
    def test_the_order_of_the_archive_changes_nothing(self, album: Upload, drawn: Drawn) -> None:
        source = a_source({"train": drawn.images})
        other = a_source(
            {"train": random.Random(drawn.seed).sample(drawn.images, len(drawn.images))}
        )

        complete_splits(source, album)
        complete_splits(other, album)

        assert places(source) == places(other)
        assert places(source).keys() == {image.image for image in drawn.images}
        assert sum(sizes(source).values()) == len(drawn.images)
