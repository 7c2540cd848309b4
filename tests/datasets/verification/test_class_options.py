"""The options `class_map` and `colours`: the dataset is as if its files had been edited by hand."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.report import ImportOptions, Report, VerificationRequest
from app.datasets.verification.checks.class_change import ClassChange
from app.datasets.verification.verify import verify
from tests.datasets.builders import (
    POSE_KEYS,
    Files,
    a_yaml,
    a_zip,
    an_image,
    class_files,
    encoded,
    label_files,
    mask_files,
)
from tests.datasets.verdicts import Verify, codes

SQUARES_ARE_DISCS = {"square": "disc"}
NO_TRIANGLES = {"triangle": None}
Labels = list[list[tuple[int, int]]]
"""By image, the class and the place of each object."""


def member(folder: Path, name: str) -> bytes:
    with zipfile.ZipFile(folder / "pack.zip") as pack:
        return pack.read(name)


def ids(folder: Path, name: str) -> set[int]:
    return set(np.asarray(Image.open(io.BytesIO(member(folder, name)))).ravel().tolist())


def gray_masks(*values: int) -> Files:
    """Return a dataset whose masks have a row of pixels for each value."""
    mask = encoded(
        Image.fromarray(np.repeat(np.array(values, np.uint8), 64)[:, None].repeat(64, 1))
    )
    size = (64, 64 * len(values))
    files: Files = {"data.yaml": a_yaml(names=["ground", "disc", "square"])}
    for name in ("train/a", "train/b", "val/c"):
        picture = Image.effect_noise(size, 50)
        files[f"images/{name}.jpg"] = encoded(picture.convert("RGB"), "JPEG")
        files[f"masks/{name}.png"] = mask
    return files


class TestRenamedClasses:
    @pytest.mark.parametrize(
        ("files", "task"),
        [
            pytest.param(label_files("detect"), "detect", id="detect"),
            pytest.param(label_files("segment"), "segment", id="segment"),
            pytest.param(label_files("obb"), "obb", id="obb"),
            pytest.param(label_files("pose", **POSE_KEYS), "pose", id="pose"),
            pytest.param(label_files("segment"), "semantic", id="outlines"),
            pytest.param(class_files(), "classify", id="classify"),
        ],
    )
    def test_merged_and_dropped_classes_are_counted_as_such(
        self, verified: Verify, files: Files, task: str
    ) -> None:
        before = verified(files, task).class_counts["train"]

        report = verified(files, task, class_map={**SQUARES_ARE_DISCS, **NO_TRIANGLES})

        assert (report.state, report.classes) == ("ready", ["disc"])
        assert report.class_counts["train"] == {"disc": before["disc"] + before["square"]}

    def test_an_image_without_objects_becomes_a_background(self, verified: Verify) -> None:
        report = verified(label_files("detect", train=9), class_map=NO_TRIANGLES)

        assert report.splits["train"].images == 9
        assert report.splits["train"].backgrounds > 0

    def test_an_image_of_a_dropped_class_leaves_a_classification(self, verified: Verify) -> None:
        report = verified(class_files(train=9, val=6), class_map=NO_TRIANGLES)

        assert (report.splits["train"].images, report.splits["val"].images) == (6, 4)

    def test_the_classes_keep_the_order_of_their_first_appearance(self, verified: Verify) -> None:
        report = verified(label_files("detect"), class_map={"disc": "triangle", "square": "box"})

        assert report.classes == ["triangle", "box"]

    def test_the_names_that_were_sent_are_those_that_are_changed(self, verified: Verify) -> None:
        report = verified(label_files("detect"), names=["a", "b", "c"], class_map={"c": "b"})

        assert report.classes == ["a", "b"]

    def test_classes_of_equal_names_become_one(self, verified: Verify) -> None:
        files = label_files("detect", names=["disc", "disc", "triangle"])

        report = verified(files, class_map={"disc": "disc"})

        assert report.classes == ["disc", "triangle"]

    def test_the_keypoint_names_follow_their_class(self, verified: Verify, tmp_path: Path) -> None:
        points = {0: ["a", "b", "c", "d"], 1: ["e", "f", "g", "h"], 2: ["i", "j", "k", "l"]}
        files = label_files("pose", kpt_names=points, **POSE_KEYS)

        verified(files, class_map={"disc": None, "triangle": "square"})

        written = yaml.safe_load(member(tmp_path, "data.yaml"))
        assert written["kpt_names"] == {0: ["e", "f", "g", "h"]}

    def test_annotations_of_other_formats_are_changed_too(self, verified: Verify) -> None:
        boxes = [[1, 4, 4, 20, 20], [2, 10, 10, 20, 20]]
        document = {
            "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 64}],
            "categories": [{"id": 1, "name": "disc"}, {"id": 2, "name": "ring"}],
            "annotations": [
                {"id": number, "image_id": 1, "category_id": category, "bbox": box}
                for number, (category, *box) in enumerate(boxes)
            ],
        }
        files: Files = {}
        for seed, split in enumerate(("train", "valid")):
            files[f"{split}/_annotations.coco.json"] = json.dumps(document).encode()
            files[f"{split}/a.jpg"] = an_image(seed)

        report = verified(files, class_map={"disc": None})

        assert report.class_counts["train"] == {"ring": 1}

    def test_the_line_of_a_fault_is_that_of_the_file(self, verified: Verify) -> None:
        files = label_files("detect")
        files["labels/train/0001.txt"] = b"2 0.5 0.5 0.1 0.1\n0 0.5 0.5 3.0 0.1\n"

        report = verified(files, class_map=NO_TRIANGLES)

        (found,) = [each for each in report.findings if each.code is Code.LABEL_OUT_OF_RANGE]
        assert found.line == 2

    @pytest.mark.parametrize("token", ["0", "0.0", "1e0", "+1", "-0"])
    def test_a_class_is_read_however_it_is_written(self, token: str) -> None:
        change = ClassChange.of(["disc", "square"], {"disc": "b", "square": "b"})

        assert change.labels(f"{token} 0.5\n".encode()).split()[0] in {b"0", token.encode()}

    @pytest.mark.parametrize("token", ["2", "0.5", "-1", "nan", "inf", "x", "9" * 400])
    def test_a_class_that_does_not_exist_stays(self, token: str) -> None:
        change = ClassChange.of(["disc", "square"], {"disc": None})

        assert change.labels(f"{token} 0.5\n".encode()) == f"{token} 0.5\n".encode()


class TestMasks:
    def test_a_dropped_class_is_ignored(self, verified: Verify, tmp_path: Path) -> None:
        report = verified(gray_masks(0, 1, 2, 255), class_map={"disc": None})

        assert (report.state, report.classes) == ("ready", ["ground", "square"])
        assert ids(tmp_path, "masks/train/a.png") == {0, 1, 255}
        assert report.class_counts["train"] == {"ground": 2, "square": 2}

    def test_a_merged_class_has_the_id_of_the_first(self, verified: Verify, tmp_path: Path) -> None:
        report = verified(gray_masks(0, 1, 2), class_map={"square": "disc"})

        assert report.classes == ["ground", "disc"]
        assert ids(tmp_path, "masks/train/a.png") == {0, 1}

    def test_the_only_class_that_is_left_is_1_on_a_background(
        self, verified: Verify, tmp_path: Path
    ) -> None:
        report = verified(gray_masks(0, 1, 2), class_map={"ground": None, "square": None})

        assert report.classes == ["disc"]
        assert ids(tmp_path, "masks/train/a.png") == {0, 1}
        assert report.class_counts["train"] == {"disc": 2}

    def test_a_label_mapping_is_applied_first(self, verified: Verify, tmp_path: Path) -> None:
        files = gray_masks(7, 8, 9)
        mapping = {7: 0, 8: 1, 9: 2}
        files["data.yaml"] = a_yaml(names=["ground", "disc", "square"], label_mapping=mapping)

        verified(files, class_map={"disc": None})

        assert ids(tmp_path, "masks/train/a.png") == {0, 1, 255}
        assert "label_mapping" not in yaml.safe_load(member(tmp_path, "data.yaml"))

    def test_masks_stay_if_classes_get_only_other_names(
        self, verified: Verify, tmp_path: Path
    ) -> None:
        files = mask_files()

        report = verified(files, class_map={"ground": "floor"})

        assert report.classes[0] == "floor"
        assert member(tmp_path, "masks/train/0001.png") == files["masks/train/0001.png"]


class TestUnfitClassMap:
    def test_a_name_that_is_no_class_is_refused_with_those_that_are(self, verified: Verify) -> None:
        report = verified(label_files("detect"), class_map={"disk": "ring", "disc": "ring"})

        (found,) = [each for each in report.findings if each.code is Code.OPTION_UNFIT]
        assert "disk" in found.message
        assert "disc, square, triangle" in found.message
        assert found.fixes == ({"class_map": {"disc": "ring"}},)

    def test_a_map_that_drops_every_class_is_refused(self, verified: Verify) -> None:
        report = verified(
            label_files("detect"), class_map=dict.fromkeys(["disc", "square", "triangle"])
        )

        assert codes(report) == {Code.OPTION_UNFIT}

    def test_depth_has_no_classes(self, verified: Verify) -> None:
        report = verified(label_files("detect"), "depth", class_map={"depth": "far"})

        assert Code.OPTION_UNFIT in codes(report)


def edited(
    names: Sequence[str], labels: Labels, new: Mapping[str, str | None]
) -> tuple[list[str], Labels]:
    """Change names and classes as one would by hand: one object after the other."""
    kept: list[str] = []
    for name in names:
        after = new.get(name, name)
        if after is not None and after not in kept:
            kept.append(after)
    changed: Labels = []
    for rows in labels:
        changed.append([])
        for number, place in rows:
            after = new.get(names[number], names[number])
            if after is not None:
                changed[-1].append((kept.index(after), place))
    return kept, changed


def a_dataset(names: Sequence[str], labels: Labels) -> Files:
    """Return a dataset with the objects of each image: class and place."""
    files: Files = {"data.yaml": a_yaml(names=list(names))}
    for index, rows in enumerate(labels):
        split = "val" if index == 0 else "train"
        files[f"images/{split}/{index}.jpg"] = PICTURE
        lines = [f"{number} 0.5 0.5 0.{place + 1} 0.25\n" for number, place in rows]
        files[f"labels/{split}/{index}.txt"] = "".join(lines).encode()
    return files


PICTURE = an_image(3)
NAMES = st.lists(st.sampled_from("abcde"), min_size=1, max_size=4, unique=True)


@st.composite
def datasets(draw: st.DrawFn) -> tuple[list[str], Labels, dict[str, str | None]]:
    names = draw(NAMES)
    box = st.tuples(st.integers(0, len(names) - 1), st.integers(0, 4))
    labels = draw(st.lists(st.lists(box, max_size=5), min_size=2, max_size=4))
    after = st.sampled_from(["a", "b", "x", "y", None])
    new = draw(st.dictionaries(st.sampled_from(names), after, min_size=1))
    return names, labels, new


class TestEqualToEditing:
    @settings(
        max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(case=datasets(), splits=st.sampled_from([None, "50:50"]))
    def test_the_pack_is_that_of_files_that_were_edited_by_hand(
        self,
        case: tuple[list[str], Labels, dict[str, str | None]],
        splits: str | None,
        tmp_path: Path,
    ) -> None:
        names, labels, new = case
        kept, changed = edited(names, labels, new)

        report, pack = verdict(tmp_path, a_dataset(names, labels), class_map=new, splits=splits)

        if not kept:
            assert codes(report) == {Code.OPTION_UNFIT}
            return
        by_hand, expected = verdict(tmp_path, a_dataset(kept, changed), splits=splits)
        assert without_lines(report) == without_lines(by_hand)
        assert pack == expected


def without_lines(report: Report) -> dict[str, Any]:
    """Return a report without line numbers: a row that is left out keeps its line."""
    content = report.model_dump()
    for finding in content["findings"]:
        finding["line"] = None
    return content


def verdict(folder: Path, files: Files, **given: object) -> tuple[Report, bytes | None]:
    archive, pack = a_zip(folder / "upload.zip", files), folder / "pack.zip"
    options = ImportOptions.model_validate(given)
    report = verify(VerificationRequest(archive=archive, output=folder, options=options))
    return report, pack.read_bytes() if report.state == "ready" else None


class TestColours:
    @pytest.fixture
    def coloured(self) -> Files:
        """Return masks with one colour for the disc and one for the square."""
        files: Files = {}
        pixels = np.zeros((64, 64, 3), np.uint8)
        pixels[10:30], pixels[40:60] = (10, 200, 30), (7, 8, 9)
        for seed, name in enumerate(("train/a", "train/b", "val/c")):
            files[f"images/{name}.jpg"] = an_image(seed)
            files[f"masks/{name}.png"] = encoded(Image.fromarray(pixels))
        return files

    def test_colours_that_were_sent_name_the_classes_in_their_order(
        self, verified: Verify, coloured: Files, tmp_path: Path
    ) -> None:
        report = verified(coloured, colours={"square": [7, 8, 9], "disc": [10, 200, 30]})

        assert (report.state, report.classes) == ("ready", ["square", "disc"])
        assert ids(tmp_path, "masks/train/a.png") == {0, 1, 255}

    def test_masks_beside_a_data_yaml_are_read_by_colour_too(
        self, verified: Verify, coloured: Files
    ) -> None:
        files = {**coloured, "data.yaml": a_yaml(names=["other"])}

        report = verified(files, colours={"square": [7, 8, 9], "disc": [10, 200, 30]})

        assert (report.state, report.classes) == ("ready", ["square", "disc"])

    def test_colours_replace_those_of_a_labelmap(self, verified: Verify, coloured: Files) -> None:
        files = {**coloured, "labelmap.txt": b"background:0,0,0::\ndisc:128,0,0::\n"}

        report = verified(files, colours={"square": [7, 8, 9], "disc": [10, 200, 30]})

        assert (report.state, report.classes) == ("ready", ["square", "disc"])

    def test_a_class_that_was_named_by_its_colour_can_be_dropped(
        self, verified: Verify, coloured: Files, tmp_path: Path
    ) -> None:
        colours = {"ground": [0, 0, 0], "square": [7, 8, 9], "disc": [10, 200, 30]}

        report = verified(coloured, colours=colours, class_map={"square": None})

        assert report.classes == ["ground", "disc"]
        assert ids(tmp_path, "masks/train/a.png") == {0, 1, 255}

    def test_a_colour_that_nothing_names_is_reported(
        self, verified: Verify, coloured: Files
    ) -> None:
        report = verified(coloured, colours={"square": [7, 8, 9]})

        (message,) = {each.message for each in report.findings if each.code is Code.MASK_IDS}
        assert "(10, 200, 30)" in message
        assert "`colours`" in message

    def test_colours_do_not_fit_labels(self, verified: Verify) -> None:
        report = verified(label_files("detect"), colours={"disc": [1, 2, 3]})

        (found,) = [each for each in report.findings if each.code is Code.OPTION_UNFIT]
        assert found.fixes == ({"colours": None},)
