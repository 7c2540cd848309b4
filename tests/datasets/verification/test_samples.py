"""Samples: what is dropped is in no count and not in the pack, and summaries are never untrue."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from app.core.tasks import Task
from app.datasets.archives.audit import open_archive
from app.datasets.packs.manifest import write_manifest
from app.datasets.packs.pack import PackWriter, write_packed_list
from app.datasets.reports.finding_codes import Code, Severity
from app.datasets.reports.findings import Findings, Policy
from app.datasets.reports.report import MANIFEST_NAME, PACKED_NAME, Limits, Split
from app.datasets.verification.members import MemberReader
from app.datasets.verification.overview.writer import OverviewWriter
from app.datasets.verification.samples import SampleChecker, SampleRules
from app.datasets.verification.statistics import Statistics
from app.datasets.verification.tree import Sample, place, tree_of
from tests.datasets.builders import Files, a_zip, encoded
from tests.datasets.outputs import files_of_output

NAMES = ["disc", "square", "triangle"]
BOX = b"0 0.5 0.5 0.2 0.2\n"
ALL_CLASSES = BOX + b"1 0.5 0.5 0.2 0.2\n2 0.5 0.5 0.2 0.2\n"
BAD = b"7 0.5 0.5 0.2 0.2\n"


def a_gray(level: int) -> bytes:
    return encoded(Image.new("L", (20, 12), level))


Labels = dict[str, bytes | None]
DETECT = SampleRules("detect", len(NAMES), max_bad_ratio=0.3)


class Checked:
    """The result of checking samples of one archive."""

    def __init__(
        self,
        folder: Path,
        policy: Policy = "lenient",
        rules: SampleRules = DETECT,
        limits: Limits = Limits(),  # noqa: B008 -- frozen
    ) -> None:
        self.findings = Findings(policy)
        self.statistics = Statistics()
        self._folder, self._rules, self._limits = folder, rules, limits

    def check(self, files: Files, samples: dict[Split, list[Sample]]) -> "Checked":
        archive = a_zip(self._folder / "upload.zip", files)
        with (
            open_archive(archive, Limits(), self.findings) as opened,
            PackWriter(self._folder / "pack.zip") as pack,
        ):
            assert opened is not None
            members = MemberReader(opened, tree_of(opened.members), self.findings, self._limits)
            overview = OverviewWriter(samples, self._rules.labels)
            checker = SampleChecker(self._rules, members, pack, self.statistics, overview)
            checker.check_all(samples)
        write_packed_list(self._folder / PACKED_NAME, pack.packed)
        write_manifest(self._folder / MANIFEST_NAME, self._rules.task, pack.files)
        self.statistics.judge(NAMES, samples, self.findings)
        return self

    def codes(self, severity: Severity = Severity.ERROR) -> list[Code]:
        kept = self.findings.kept()
        return [finding.code for finding in kept if finding.severity is severity]

    def message(self, code: Code) -> str:
        (message,) = [found.message for found in self.findings.kept() if found.code is code]
        return message

    def packed(self) -> dict[str, bytes]:
        return files_of_output(self._folder)


def a_set(labels: Labels) -> tuple[Files, dict[Split, list[Sample]]]:
    """Return the files and samples of images by their stem; "train/a" without a label is None."""
    files: Files = {"keep/root.png": a_gray(255)}
    samples: dict[Split, list[Sample]] = {}
    for level, (stem, label) in enumerate(labels.items()):
        image, target = f"images/{stem}.png", f"labels/{stem}.txt"
        files[image] = a_gray(level)
        if label is not None:
            files[target] = label
        split: Split = "val" if stem.startswith("val") else "train"
        given = None if label is None else target
        samples.setdefault(split, []).append(Sample(image, image, given, target))
    return files, samples


def many(split: str, count: int, label: bytes = ALL_CLASSES) -> Labels:
    return {f"{split}/{number:02d}": label for number in range(count)}


class TestTheLenientPolicy:
    def test_an_image_with_a_bad_label_is_in_no_count_and_not_in_the_pack(
        self, tmp_path: Path
    ) -> None:
        labels = {"train/a": BAD + ALL_CLASSES, **many("train", 4), **many("val", 2)}

        checked = Checked(tmp_path).check(*a_set(labels))

        summary = checked.statistics.splits["train"]
        assert (summary.images, summary.dropped, summary.labels, summary.objects) == (4, 1, 4, 12)
        assert checked.statistics.by_name(NAMES)["train"] == dict.fromkeys(NAMES, 4)
        assert checked.statistics.records.by_split["train"] == [(0, 3)]
        assert not [name for name in checked.packed() if "train/a" in name]
        assert (checked.codes(), checked.codes(Severity.WARNING)) == ([], [Code.LABEL_CLASS])

    def test_an_image_that_cannot_be_decoded_takes_its_label_out_of_the_pack(
        self, tmp_path: Path
    ) -> None:
        files, samples = a_set(many("train", 5) | many("val", 2))
        files["images/train/01.png"] = b"<html>404</html>"

        checked = Checked(tmp_path).check(files, samples)

        assert checked.statistics.splits["train"].dropped == 1
        assert "labels/train/01.txt" not in checked.packed()
        assert len(checked.packed()) == 2 * 6

    def test_a_label_file_above_the_limit_drops_its_image(self, tmp_path: Path) -> None:
        limits = replace(Limits(), max_label_bytes=99)

        checked = Checked(tmp_path, limits=limits).check(
            *a_set({"train/a": ALL_CLASSES + b" " * 99, **many("train", 4)})
        )

        assert checked.statistics.splits["train"].dropped == 1
        assert checked.codes(Severity.WARNING) == [Code.LABEL_TOO_LARGE]

    def test_too_many_dropped_images_are_one_error(self, tmp_path: Path) -> None:
        labels = many("train", 3) | {"val/a": BAD, "val/b": BAD, "val/c": BOX}

        checked = Checked(tmp_path).check(*a_set(labels))

        assert checked.codes() == [Code.TOO_MANY_DROPPED]
        message = checked.message(Code.TOO_MANY_DROPPED)
        assert "2 of 6 images" in message
        assert "label-class (2 images)" in message

    def test_a_share_that_equals_the_limit_is_allowed(self, tmp_path: Path) -> None:
        labels = many("train", 7) | {f"train/{name}": BAD for name in "abc"}

        checked = Checked(tmp_path).check(*a_set(labels))

        assert checked.codes() == []

    @pytest.mark.parametrize("rest", [{}, {"train/b": b""}], ids=["no-image", "no-object"])
    def test_nothing_left_to_train_on_is_an_error_at_any_ratio(
        self, rest: Labels, tmp_path: Path
    ) -> None:
        checked = Checked(tmp_path, rules=replace(DETECT, max_bad_ratio=1.0)).check(
            *a_set({"train/a": BAD, **rest})
        )

        assert checked.codes() == [Code.TOO_MANY_DROPPED]

    def test_the_strict_policy_drops_nothing(self, tmp_path: Path) -> None:
        checked = Checked(tmp_path, "strict").check(
            *a_set({"train/a": BAD} | many("train", 2) | many("val", 1))
        )

        assert checked.codes() == [Code.LABEL_CLASS]
        assert checked.statistics.splits["train"].dropped == 0


class TestSummaries:
    @pytest.mark.parametrize("policy", ["lenient", "strict"])
    def test_nothing_is_said_to_be_missing_where_rows_were_refused(
        self, policy: Policy, tmp_path: Path
    ) -> None:
        checked = Checked(tmp_path, policy).check(*a_set({"train/a": BAD, "train/b": BOX}))

        missing = {Code.LABELS_MISSING, Code.LABELS_EMPTY, Code.CLASS_ABSENT}
        assert missing.isdisjoint({finding.code for finding in checked.findings.kept()})

    def test_absent_classes_are_one_finding_for_each_split(self) -> None:
        findings, statistics = Findings(), Statistics()
        names = [f"class-{number}" for number in range(30_000)]
        for split in ("train", "val"):
            statistics.count(split, Counter([3]), objects=1, has_target=True, is_background=False)

        statistics.judge(names, ["train", "val"], findings)

        assert findings.totals() == {"class-absent": 2}
        message = findings.kept()[0].message
        assert message.startswith("29999 of 30000 classes have no object in train: class-0, ")
        assert len(message) < 300

    def test_repeated_rows_are_counted_once(self, tmp_path: Path) -> None:
        checked = Checked(tmp_path).check(*a_set(many("train", 4, BOX * 10)))

        assert checked.statistics.by_name(NAMES)["train"]["disc"] == 4
        assert checked.statistics.splits["train"].objects == 4
        assert checked.statistics.records.by_split["train"] == [(0, 1)]


class TestCopies:
    def test_equal_images_inside_a_split_are_counted_with_examples(self, tmp_path: Path) -> None:
        files, samples = a_set(many("train", 5))
        files["images/train/03.png"] = files["images/train/01.png"]
        files["images/train/04.png"] = files["images/train/01.png"]

        checked = Checked(tmp_path).check(files, samples)

        assert checked.codes(Severity.INFO) == [Code.IMAGE_REPEATED]
        message = checked.message(Code.IMAGE_REPEATED)
        assert ": 2" in message
        assert "images/train/03.png and images/train/01.png" in message

    def test_equal_images_are_found_while_the_set_has_errors(self, tmp_path: Path) -> None:
        files, samples = a_set({"train/a": BAD} | many("train", 2) | many("val", 1))
        files["images/train/01.png"] = files["images/train/00.png"]
        files["images/val/00.png"] = files["images/train/00.png"]

        checked = Checked(tmp_path, "strict").check(files, samples)

        found = {finding.code: finding.file for finding in checked.findings.kept()}
        assert found[Code.SPLIT_LEAK] == "images/val/00.png"
        assert Code.IMAGE_REPEATED in found

    def test_one_file_in_two_splits_is_no_copy(self, tmp_path: Path) -> None:
        files, samples = a_set(many("train", 2))
        samples["val"] = [
            Sample(sample.image, sample.image.replace("train", "val"), sample.target)
            for sample in samples["train"]
        ]

        checked = Checked(tmp_path).check(files, samples)

        assert checked.codes(Severity.WARNING) == []


class TestConvertedRows:
    def checked(
        self, folder: Path, task: Task, rows: bytes, keypoints: tuple[int, int] | None = None
    ) -> tuple[Checked, bytes]:
        image = "images/train/a.png"
        sample = Sample(image, image, target_path="labels/a.txt", rows=rows, in_pixels=True)
        files = {image: a_gray(1), "keep.png": a_gray(2)}
        rules = SampleRules(task, len(NAMES), keypoints=keypoints)
        checked = Checked(folder, rules=rules).check(files, {"train": [sample]})
        return checked, checked.packed()["labels/a.txt"]

    def test_rows_in_fractions_are_stored_as_they_are(self, tmp_path: Path) -> None:
        files, samples = a_set({"train/a": None})
        given = samples["train"][0]
        samples["train"] = [
            Sample(given.image, given.image_path, None, given.target_path, rows=BOX)
        ]

        checked = Checked(tmp_path).check(files, samples)

        assert checked.packed()["labels/train/a.txt"] == BOX
        assert checked.statistics.splits["train"].labels == 1

    def test_a_bad_converted_row_drops_its_image(self, tmp_path: Path) -> None:
        files, samples = a_set(many("train", 4))
        last = samples["train"][-1]
        samples["train"][-1] = Sample(last.image, last.image_path, None, last.target_path, rows=BAD)

        checked = Checked(tmp_path).check(files, samples)

        assert checked.statistics.splits["train"].dropped == 1

    def test_boxes_in_pixels_are_divided_by_the_size_of_their_image(self, tmp_path: Path) -> None:
        _, stored = self.checked(tmp_path, "detect", b"1 10 6 4 3\n")

        assert stored == b"1 0.5 0.5 0.2 0.25\n"

    def test_boxes_beyond_the_image_are_cut_with_a_warning(self, tmp_path: Path) -> None:
        checked, stored = self.checked(tmp_path, "detect", b"0 20 6 20 12\n0 90 90 4 4\n")

        assert stored == b"0 0.75 0.5 0.5 1\n"
        assert {Code.ANNOTATION_IGNORED, Code.ANNOTATION_CLIPPED} <= set(
            checked.codes(Severity.WARNING)
        )

    def test_polygons_in_pixels_are_divided_by_the_size_of_their_image(
        self, tmp_path: Path
    ) -> None:
        _, stored = self.checked(tmp_path, "segment", b"0 0 0 10 0 10 6\n")

        assert stored == b"0 0 0 0.5 0 0.5 0.5\n"

    def test_keypoints_outside_the_image_are_not_labelled(self, tmp_path: Path) -> None:
        rows = b"0 10 6 20 12 5 3 2 30 6 2\n"

        _, stored = self.checked(tmp_path, "pose", rows, keypoints=(2, 3))

        assert stored == b"0 0.5 0.5 1 1 0.25 0.25 2 0 0 0\n"

    def test_numbers_that_are_not_finite_are_left_out(self, tmp_path: Path) -> None:
        checked, stored = self.checked(
            tmp_path, "detect", b"0 inf 1 2 3\n0 nan 1 2 3\n" + b"0 10 6 4 3\n"
        )

        assert stored == b"0 0.5 0.5 0.2 0.25\n"
        assert Code.ANNOTATION_IGNORED in checked.codes(Severity.WARNING)


class TestPlaces:
    @pytest.mark.parametrize("folder", ["a.cache", "b.CACHE", "c.npy", "deep/d.cache/e"])
    def test_folders_named_like_files_of_ultralytics_get_numbers(self, folder: str) -> None:
        findings = Findings()

        placed = place("train", [(f"x/{folder}/1.jpg", f"{folder}/1.jpg")], findings)

        assert placed == [(f"x/{folder}/1.jpg", "0000000.jpg")]
        assert findings.totals() == {"names-replaced": 1}

    def test_other_folders_keep_their_names(self) -> None:
        findings = Findings()

        placed = place("train", [("x/cache/1.npy.jpg", "cache/1.npy.jpg")], findings)

        assert placed == [("x/cache/1.npy.jpg", "cache/1.npy.jpg")]
