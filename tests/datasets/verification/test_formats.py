"""Layouts: which folders are read, which files are ignored, and which datasets are invalid."""

from pathlib import Path
from zipfile import ZipFile

import pytest

from app.core.tasks import Task
from app.datasets.reports.finding_codes import Code, Severity
from tests.datasets.builders import (
    POSE_KEYS,
    Files,
    a_yaml,
    class_files,
    depth_files,
    label_files,
    mask_files,
)
from tests.datasets.verdicts import Verify, codes, moved, warnings, without


def roboflow(**keys: object) -> Files:
    files = label_files("detect", train=4, val=2)
    files = moved(moved(files, "images/train", "train/images"), "labels/train", "train/labels")
    files = moved(moved(files, "images/val", "valid/images"), "labels/val", "valid/labels")
    given = {"train": "../train/images", "val": "../valid/images", "nc": 3, **keys}
    return {**files, "data.yaml": a_yaml(**given)}


PLAIN = label_files("detect", train=4, val=2)

LAYOUTS: dict[str, Files] = {
    "ultralytics": PLAIN,
    "roboflow": roboflow(test="../test/images", roboflow={"version": 1}),
    "roboflow-whole-split-folder": roboflow(train="train", val="valid"),
    "no-paths-in-the-yaml": {**PLAIN, "data.yaml": a_yaml(train=None, val=None)},
    "roboflow-without-paths": roboflow(train=None, val=None),
    "wrapping-folder": {f"my set/{name}": content for name, content in PLAIN.items()},
    "two-wrapping-folders": {f"a/b/{name}": content for name, content in PLAIN.items()},
    "root-hint-inside": {
        **{f"shapes/{n}": c for n, c in without(PLAIN, "data.yaml").items()},
        "data.yaml": a_yaml(path="shapes"),
    },
    "root-hint-elsewhere": {**PLAIN, "data.yaml": a_yaml(path="../datasets/shapes")},
    "other-yaml-name": moved(PLAIN, "data.yaml", "shapes.yaml"),
    "windows-separators-in-yaml": {
        **PLAIN, "data.yaml": a_yaml(train="images\\train", val=".\\images\\val")
    },
    "subfolders": moved(PLAIN, "train/", "train/camera 1/"),
    "labels-beside-images": moved(moved(PLAIN, "labels/", "x/"), "images/", "x/")
    | {"data.yaml": a_yaml(train="x/train", val="x/val")},
    "list-of-folders": {**PLAIN, "data.yaml": a_yaml(train=["images/train"])},
    "absolute-splits": {
        **PLAIN, "data.yaml": a_yaml(train="/home/me/set/images/train", val="D:\\set\\images\\val")
    },
    "absolute-root": {**PLAIN, "data.yaml": a_yaml(path="/content/drive/MyDrive/set")},
    "drive-as-root": {**PLAIN, "data.yaml": a_yaml(path="C:\\set")},
    "kaggle-variable": {**PLAIN, "data.yaml": a_yaml(train="${HOME}/set/images/train")},
    "own-folder-in-paths": {
        **{f"dataset/{name}": content for name, content in PLAIN.items()},
        "dataset/data.yaml": a_yaml(train="dataset/images/train", val="../dataset/images/val"),
    },
    "valid-is-called-validate": moved(roboflow(), "valid/", "validate/"),
    "letter-case": moved(moved(PLAIN, "images/", "Images/"), "labels/", "Labels/"),
    "yaml-deeper-down": moved(PLAIN, "data.yaml", "config/data.yaml")
    | {"src/model.yaml": b"nc: 2\nbackbone: []\nhead: []\n"},
    "yaml-inside-train": moved(roboflow(), "data.yaml", "train/set.yaml"),
}  # fmt: skip


class TestLayouts:
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_every_image_finds_its_labels(self, layout: str, verified: Verify) -> None:
        report = verified(LAYOUTS[layout], "detect")

        assert (codes(report), report.state) == (set(), "ready")
        assert report.splits["train"].images == report.splits["train"].labels == 4
        assert report.splits["val"].images == report.splits["val"].labels == 2

    @pytest.mark.parametrize(
        ("yaml", "code"),
        [
            pytest.param(a_yaml(train="../../etc"), Code.YAML_PATH, id="U20-parent"),
            pytest.param(a_yaml(train=".."), Code.YAML_PATH, id="U20-parent-itself"),
            pytest.param(a_yaml(val="val.txt"), Code.YAML_PATH, id="U20-list-file"),
            pytest.param(a_yaml(train="https://x/y"), Code.YAML_PATH, id="U20-url"),
            pytest.param(a_yaml(names=None), Code.NAMES_MISSING, id="no-names"),
            pytest.param(b"x: [", Code.YAML_INVALID, id="no-yaml"),
        ],
    )
    def test_a_wrong_yaml_is_an_error(self, yaml: bytes, code: Code, verified: Verify) -> None:
        report = verified({**PLAIN, "data.yaml": yaml}, "detect")

        assert codes(report) == {code}

    def test_labels_without_names_are_an_error(self, verified: Verify) -> None:
        assert codes(verified(without(PLAIN, "data.yaml"))) == {Code.NAMES_MISSING}

    def test_names_may_be_sent(self, verified: Verify) -> None:
        report = verified(without(PLAIN, "data.yaml"), names=["disc", "square", "triangle"])

        assert (report.state, report.classes) == ("ready", ["disc", "square", "triangle"])

    def test_an_id_in_the_notes_that_is_no_number_is_no_name(self, verified: Verify) -> None:
        notes = b'{"categories": [{"id": 1e999, "name": "a"}]}'

        report = verified({**without(PLAIN, "data.yaml"), "notes.json": notes})

        assert codes(report) == {Code.NAMES_MISSING}

    def test_several_yamls_of_one_dataset_are_one(self, verified: Verify) -> None:
        two = moved(PLAIN, "data.yaml", "a.yaml") | {"b.yaml": PLAIN["data.yaml"]}

        assert codes(verified(two)) == set()

    def test_several_yamls_of_different_datasets_ask_for_one(self, verified: Verify) -> None:
        two = moved(PLAIN, "data.yaml", "a.yaml") | {"b.yaml": a_yaml(names=["x", "y", "z"])}

        asked = verified(two)
        chosen = verified(two, data_yaml="b.yaml")

        assert codes(asked) == {Code.YAML_AMBIGUOUS}
        assert chosen.classes == ["x", "y", "z"]

    def test_a_path_that_fits_two_folders_names_both(self, verified: Verify) -> None:
        files = {**PLAIN, **{f"old/{name}": content for name, content in PLAIN.items()}}
        files = moved(files, "images/train", "a/images/train")

        report = verified({**files, "data.yaml": a_yaml(train="/x/images/train")}, "detect")

        (error,) = [f for f in report.findings if f.severity is Severity.ERROR]
        assert error.code is Code.YAML_PATH
        assert "a/images/train, old/a/images/train" in error.message

    def test_one_folder_in_two_splits_is_one_warning(self, verified: Verify) -> None:
        report = verified({**PLAIN, "data.yaml": a_yaml(val="images/train")}, "detect")

        assert (report.state, report.splits["val"].images) == ("ready", 4)
        assert report.finding_totals[Code.SPLIT_SAME_FOLDER] == 1

    def test_a_yaml_that_names_train_and_val_is_taken_at_its_word(self, verified: Verify) -> None:
        files = moved(PLAIN, "/val/", "/test/") | {"data.yaml": a_yaml(val="images/test")}

        report = verified(files)

        assert (codes(report), set(report.splits)) == (set(), {"train", "val"})

    def test_an_image_in_two_folders_of_a_split_is_used_once(self, verified: Verify) -> None:
        yaml = a_yaml(train=["images/train", "images/train/../train"])

        report = verified({**PLAIN, "data.yaml": yaml}, "detect")

        assert (report.splits["train"].images, warnings(report)) == (4, {Code.SPLIT_OVERLAP})

    def test_a_test_split_that_is_not_there_is_a_warning(self, verified: Verify) -> None:
        report = verified({**PLAIN, "data.yaml": a_yaml(test="images/test")})

        assert (report.state, warnings(report)) == ("ready", {Code.SPLIT_FOLDER_MISSING})

    def test_an_archive_without_anything_to_read_says_so(self, verified: Verify) -> None:
        assert codes(verified({"README.md": b"#"})) == {Code.ARCHIVE_EMPTY}


IGNORED = {
    "U12-labels-cache": ("labels/train.cache", "labels-cache"),
    "U12-weights": ("best.pt", "unread-type"),
    "U12-python": ("convert.py", "unread-type"),
    "U12-numpy": ("images/train/0000.npy", "not-in-a-split"),
    "U12-other-yaml": ("notes/other.yaml", "not-in-a-split"),
    "U9-zip-in-zip": ("more.zip", "unread-type"),
    "macos-folder": ("__MACOSX/images/train/._0000.jpg", "system-metadata"),
    "macos-double": ("images/train/._0000.jpg", "system-metadata"),
    "ds-store": (".DS_Store", "system-metadata"),
    "thumbs": ("images/train/Thumbs.db", "system-metadata"),
    "readme-roboflow": ("README.roboflow.txt", "not-in-a-split"),
    "readme": ("README.md", "unread-type"),
    "classes-txt": ("classes.txt", "not-in-a-split"),
    "stray-image": ("preview.jpg", "not-in-a-split"),
}


class TestWhatIsIgnored:
    @pytest.mark.parametrize("row", IGNORED)
    def test_an_ignored_file_is_reported_and_stays_out_of_the_pack(
        self, row: str, verified: Verify, tmp_path: Path
    ) -> None:
        name, reason = IGNORED[row]

        report = verified({**PLAIN, name: b"\x80\x04malice"}, "detect")

        assert report.state == "ready"
        assert [(group.reason, group.count, group.examples) for group in report.ignored] == [
            (reason, 1, [name])
        ]
        assert len(ZipFile(tmp_path / "pack.zip").namelist()) == 1 + 6 + 6

    def test_junk_above_the_wrapping_folder_does_not_hide_it(self, verified: Verify) -> None:
        wrapped = {f"set/{name}": content for name, content in PLAIN.items()}

        report = verified({**wrapped, "__MACOSX/set/._x": b"", "README.txt": b"hello"}, "detect")

        assert report.state == "ready"


class TestTasks:
    @pytest.mark.parametrize(
        ("files", "task"),
        [
            pytest.param(label_files("detect"), "detect", id="detect"),
            pytest.param(label_files("segment"), "segment", id="segment"),
            pytest.param(label_files("pose", **POSE_KEYS), "pose", id="pose"),
            pytest.param(class_files(), "classify", id="classify"),
            pytest.param(mask_files(), "semantic", id="semantic"),
            pytest.param(depth_files(), "depth", id="depth"),
            pytest.param(without(depth_files(), "data.yaml"), "depth", id="depth-without-yaml"),
        ],
    )
    def test_the_files_say_the_task(self, files: Files, task: Task, verified: Verify) -> None:
        report = verified(files)

        assert (report.task, report.state) == (task, "ready")

    @pytest.mark.parametrize(
        "files",
        [
            pytest.param(label_files("obb"), id="nine-columns-everywhere"),
        ],
    )
    def test_an_archive_that_fits_several_tasks_asks_for_the_task(
        self, files: Files, verified: Verify
    ) -> None:
        assert codes(verified(files)) == {Code.TASK_NEEDED}

    @pytest.mark.parametrize(
        ("files", "task", "code"),
        [
            pytest.param(PLAIN, "segment", Code.TOO_MANY_DROPPED, id="boxes-for-segment"),
            pytest.param(PLAIN, "pose", Code.KPT_SHAPE_MISSING, id="boxes-for-pose"),
            pytest.param(PLAIN, "classify", Code.LAYOUT_UNKNOWN, id="labels-for-classify"),
            pytest.param(roboflow(), "classify", Code.LAYOUT_UNKNOWN, id="roboflow-for-classify"),
            pytest.param(PLAIN, "depth", Code.TOO_MANY_DROPPED, id="labels-for-depth"),
            pytest.param(class_files(), "detect", Code.ANNOTATIONS_MISSING, id="no-labels"),
        ],
    )
    def test_a_declared_task_that_does_not_fit_is_an_error(
        self, files: Files, task: Task, code: Code, verified: Verify
    ) -> None:
        report = verified(files, task)

        assert (code in codes(report), report.state) == (True, "invalid")

    def test_polygons_serve_detection_and_semantic_segmentation(self, verified: Verify) -> None:
        files = label_files("segment")

        states = [verified(files, task).state for task in ("detect", "semantic")]

        assert states == ["ready", "ready"]


class TestReadByModels:
    @pytest.mark.parametrize(
        ("files", "task", "expected"),
        [
            pytest.param(PLAIN, "detect", (3, None, False), id="detect"),
            pytest.param(label_files("detect", channels=1), "detect", (1, None, False), id="gray"),
            pytest.param(label_files("pose", **POSE_KEYS), "pose", (3, (4, 3), False), id="pose"),
            pytest.param(mask_files(), "semantic", (3, None, False), id="masks"),
            pytest.param(label_files("segment"), "semantic", (3, None, True), id="outlines"),
        ],
    )
    def test_channels_keypoints_and_outlines_of_a_dataset_are_reported(
        self,
        files: Files,
        task: Task,
        expected: tuple[int, tuple[int, int] | None, bool],
        verified: Verify,
    ) -> None:
        report = verified(files, task)

        assert (report.channels, report.keypoints, report.adds_background) == expected


class TestSamples:
    def test_images_without_objects_are_backgrounds(self, verified: Verify) -> None:
        files = without(PLAIN, "labels/train/0000.txt") | {"labels/train/0001.txt": b""}

        report = verified(files)

        assert report.state == "ready"
        summary = report.splits["train"]
        assert (summary.images, summary.labels, summary.backgrounds) == (4, 3, 2)

    def test_a_label_without_an_image_is_a_warning(self, verified: Verify) -> None:
        report = verified(without(PLAIN, "images/train/0000.jpg"))

        assert (report.state, warnings(report)) == ("ready", {Code.LABEL_WITHOUT_IMAGE})

    def test_train_images_are_needed(self, verified: Verify) -> None:
        files = {n: c for n, c in PLAIN.items() if "/train/" not in n}
        files["data.yaml"] = a_yaml(train=None)

        assert codes(verified(files, "detect")) == {Code.SPLIT_MISSING}

    def test_a_missing_val_split_is_made_from_train(self, verified: Verify) -> None:
        files = moved(PLAIN, "/val/", "/test/") | {"data.yaml": a_yaml(val=None)}

        report = verified(files)

        counts = {split: held.images for split, held in report.splits.items()}
        assert counts == {"train": 2, "val": 2, "test": 2}
        assert Code.SPLIT_MADE in warnings(report)

    def test_a_train_split_without_any_object_is_an_error(self, verified: Verify) -> None:
        files = {n: b"" if "labels/train" in n else c for n, c in PLAIN.items()}

        assert Code.LABELS_MISSING in codes(verified(files, "detect"))

    def test_an_absent_class_is_a_warning(self, verified: Verify) -> None:
        report = verified({**PLAIN, "data.yaml": a_yaml(names=["a", "b", "c", "unicorn"])})

        absent = [f.message for f in report.findings if f.code is Code.CLASS_ABSENT]
        assert absent == [
            "1 of 4 classes have no object in train: unicorn.",
            "1 of 4 classes have no object in val: unicorn.",
        ]
        assert report.state == "ready"

    def test_the_same_bytes_in_train_and_val_are_a_warning(self, verified: Verify) -> None:
        files = {**PLAIN, "images/val/1000.jpg": PLAIN["images/train/0000.jpg"]}

        report = verified(files)

        assert [(f.code, f.file) for f in report.findings] == [
            (Code.SPLIT_LEAK, "images/val/1000.jpg")
        ]

    def test_a_bad_image_is_named(self, verified: Verify) -> None:
        report = verified({**PLAIN, "images/train/0002.jpg": b"<html>"})

        assert [(f.code, f.file) for f in report.findings] == [
            (Code.IMAGE_UNREADABLE, "images/train/0002.jpg")
        ]
        assert (report.state, report.splits["train"].dropped) == ("ready", 1)

    def test_classes_are_counted_by_split(self, verified: Verify) -> None:
        report = verified(PLAIN)

        assert report.class_counts == {
            "train": {"disc": 2, "square": 2, "triangle": 2},
            "val": {"disc": 1, "square": 1, "triangle": 1},
        }


class TestUnreadPictures:
    def test_a_picture_of_an_unread_type_in_a_split_is_named(self, verified: Verify) -> None:
        files = {**PLAIN, "images/train/0009.heic": b"x", "labels/train/0009.txt": b"0 .5 .5 .1 .1"}

        report = verified(files)

        assert [(f.code, f.file) for f in report.findings] == [
            (Code.IMAGE_TYPE_UNREAD, "images/train/0009.heic")
        ]
        assert (report.state, report.splits["train"].dropped) == ("ready", 1)

    def test_a_picture_of_an_unread_type_elsewhere_is_only_counted(self, verified: Verify) -> None:
        report = verified({**PLAIN, "notes/sketch.heic": b"x"})

        assert (report.state, report.findings) == ("ready", [])


def test_names_of_ignored_files_are_escaped(verified: Verify) -> None:
    report = verified({**PLAIN, "notes\u202e.md": b"x"})

    assert report.ignored[0].examples == ["notes\\u202e.md"]
