"""Layouts: which folders are read, which files are ignored, and which datasets are invalid."""

from pathlib import Path
from zipfile import ZipFile

import pytest

from app.core.tasks import Task
from app.datasets.archives.findings import Code
from tests.datasets.builders import (
    POSE_KEYS,
    Files,
    a_yaml,
    an_image,
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
            pytest.param(a_yaml(train="/data/train"), Code.YAML_PATH, id="U20-absolute-split"),
            pytest.param(a_yaml(path="/content/set"), Code.YAML_PATH, id="U20-absolute-path"),
            pytest.param(a_yaml(path="C:\\set"), Code.YAML_PATH, id="U20-drive"),
            pytest.param(a_yaml(train="../../etc"), Code.YAML_PATH, id="U20-parent"),
            pytest.param(a_yaml(train=".."), Code.YAML_PATH, id="U20-parent-itself"),
            pytest.param(a_yaml(val="val.txt"), Code.YAML_PATH, id="U20-list-file"),
            pytest.param(a_yaml(train="https://x/y"), Code.YAML_PATH, id="U20-url"),
            pytest.param(a_yaml(train=["images/train", "images"]), Code.SPLIT_OVERLAP, id="nested"),
            pytest.param(a_yaml(val="images/train"), Code.SPLIT_OVERLAP, id="train-as-val"),
            pytest.param(a_yaml(names=None), Code.NAMES_MISSING, id="no-names"),
            pytest.param(b"x: [", Code.YAML_INVALID, id="no-yaml"),
        ],
    )
    def test_a_wrong_yaml_is_an_error(self, yaml: bytes, code: Code, verified: Verify) -> None:
        report = verified({**PLAIN, "data.yaml": yaml}, "detect")

        assert codes(report) == {code}

    def test_no_yaml_is_an_error_for_labels(self, verified: Verify) -> None:
        assert codes(verified(without(PLAIN, "data.yaml"))) == {Code.YAML_MISSING}

    def test_several_yamls_are_an_error_unless_one_is_data_yaml(self, verified: Verify) -> None:
        two = moved(PLAIN, "data.yaml", "a.yaml") | {"b.yaml": PLAIN["data.yaml"]}

        assert Code.YAML_AMBIGUOUS in codes(verified(two))
        assert codes(verified(PLAIN | {"b.yaml": PLAIN["data.yaml"]})) == set()

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
            pytest.param(
                {n: b"" if n.startswith("labels") else c for n, c in PLAIN.items()}, id="no-rows"
            ),
        ],
    )
    def test_an_archive_that_fits_several_tasks_asks_for_the_task(
        self, files: Files, verified: Verify
    ) -> None:
        assert codes(verified(files)) == {Code.TASK_NEEDED}

    @pytest.mark.parametrize(
        ("files", "task", "code"),
        [
            pytest.param(PLAIN, "segment", Code.LABEL_COLUMNS, id="boxes-for-segment"),
            pytest.param(PLAIN, "pose", Code.KPT_SHAPE_MISSING, id="boxes-for-pose"),
            pytest.param(PLAIN, "classify", Code.LAYOUT_UNKNOWN, id="labels-for-classify"),
            pytest.param(roboflow(), "classify", Code.LAYOUT_UNKNOWN, id="roboflow-for-classify"),
            pytest.param(PLAIN, "depth", Code.DEPTH_MISSING, id="labels-for-depth"),
            pytest.param(class_files(), "detect", Code.YAML_MISSING, id="classes-for-detect"),
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

    @pytest.mark.parametrize("split", ["train", "val"])
    def test_a_split_without_images_is_an_error(self, split: str, verified: Verify) -> None:
        files = {n: c for n, c in PLAIN.items() if f"/{split}/" not in n}
        files["data.yaml"] = a_yaml(**{split: None})

        assert codes(verified(files, "detect")) == {Code.SPLIT_MISSING}

    def test_the_test_split_does_not_replace_the_val_split(self, verified: Verify) -> None:
        files = moved(PLAIN, "/val/", "/test/") | {"data.yaml": a_yaml(val=None)}

        assert codes(verified(files)) == {Code.SPLIT_MISSING}

    def test_a_train_split_without_any_object_is_an_error(self, verified: Verify) -> None:
        files = {n: b"" if "labels/train" in n else c for n, c in PLAIN.items()}

        assert Code.LABELS_MISSING in codes(verified(files, "detect"))

    def test_an_absent_class_is_a_warning(self, verified: Verify) -> None:
        report = verified({**PLAIN, "data.yaml": a_yaml(names=["a", "b", "c", "unicorn"])})

        absent = [f.message for f in report.findings if f.code is Code.CLASS_ABSENT]
        assert absent == ["unicorn: no object in train.", "unicorn: no object in val."]
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
        assert report.state == "invalid"

    def test_classes_are_counted_by_split(self, verified: Verify) -> None:
        report = verified(PLAIN)

        assert report.class_counts == {
            "train": {"disc": 2, "square": 2, "triangle": 2},
            "val": {"disc": 1, "square": 1, "triangle": 1},
        }


class TestClassFolders:
    def test_classes_are_the_folders_of_train_in_order(self, verified: Verify) -> None:
        report = verified(class_files())

        assert report.classes == ["disc", "square", "triangle"]
        assert report.class_counts["val"] == {"disc": 2, "square": 2, "triangle": 2}

    @pytest.mark.parametrize("name", ["valid", "validation"])
    def test_class_folders_may_name_val_valid_or_validation(
        self, name: str, verified: Verify
    ) -> None:
        assert verified(moved(class_files(), "val/", f"{name}/")).state == "ready"

    def test_a_class_that_train_lacks_is_an_error(self, verified: Verify) -> None:
        files = {**class_files(), "val/unicorn/a.jpg": an_image(7)}

        assert codes(verified(files)) == {Code.CLASS_UNKNOWN}

    def test_class_folders_without_a_val_split_are_invalid(self, verified: Verify) -> None:
        assert codes(verified(class_files(val=0))) == {Code.SPLIT_MISSING}

    def test_a_class_folder_needs_a_printable_name(self, verified: Verify) -> None:
        assert codes(verified(moved(class_files(), "disc", "di\u202esc"))) == {
            Code.CLASS_NAME_INVALID
        }
