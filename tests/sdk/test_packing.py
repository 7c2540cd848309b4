"""A dataset of this machine is read as `yolo` reads it, and no more of it is sent."""

from pathlib import Path

import pytest
import yaml

from trainyard import LayoutError
from trainyard.packing import read_dataset
from trainyard.packing.yaml_keys import YamlError, entries_of, without

pytestmark = pytest.mark.unit
NAMES = "names: [disc, ring]\n"


def a_file(path: Path, text: str = "0 .5 .5 .1 .1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def a_set(root: Path, *images: str) -> None:
    """Write images with labels where Ultralytics looks for them."""
    for image in images:
        a_file(root / image)
        stem = f"/{image}".replace("/images/", "/labels/").rpartition(".")[0]
        a_file(root / f"{stem[1:]}.txt")


def paths_in(packing_yaml: bytes) -> dict[str, object]:
    document: dict[str, object] = yaml.safe_load(packing_yaml)
    return {key: document.get(key) for key in ("path", "train", "val", "test") if key in document}


class TestDataYaml:
    def test_only_what_it_names_is_sent(self, tmp_path: Path) -> None:
        a_set(tmp_path, "images/train/a.jpg", "images/val/b.jpg", "images/unused/c.jpg")
        a_file(tmp_path / "secret.env")
        data = a_file(tmp_path / "data.yaml", f"train: images/train\nval: images/val\n{NAMES}")

        packing = read_dataset(data)

        assert set(packing.files) == {
            "images/train/a.jpg",
            "images/val/b.jpg",
            "labels/train/a.txt",
            "labels/val/b.txt",
        }
        assert packing.images == {"train": 1, "val": 1}

    def test_paths_are_relative_to_its_path(self, tmp_path: Path) -> None:
        a_set(tmp_path / "far", "images/train/a.jpg", "images/val/b.jpg")
        text = f"path: {tmp_path / 'far'}\ntrain: images/train\nval: images/val\n{NAMES}"
        data = a_file(tmp_path / "here" / "data.yaml", text)

        packing = read_dataset(data)

        assert "images/train/a.jpg" in packing.files
        assert paths_in(packing.texts["data.yaml"]) == {
            "train": ["images/train"],
            "val": ["images/val"],
        }

    def test_the_rest_of_the_text_is_kept(self, tmp_path: Path) -> None:
        a_set(tmp_path, "images/train/a.jpg", "images/val/b.jpg")
        kept = "# mine\nnames:\n  0: disc # round\n  1: 'no'\nkpt_shape: [4, 2]\n"
        text = f"train: images/train\n{kept}val: images/val\ndownload: |\n  import os\n"
        data = a_file(tmp_path / "data.yaml", text)

        packing = read_dataset(data)

        assert packing.texts["data.yaml"].decode().startswith(kept)
        assert b"import os" not in packing.texts["data.yaml"]

    def test_lists_of_images_become_lists_of_the_files_that_are_sent(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a_set(tmp_path, "images/a.jpg", "images/b.jpg", "images/c.jpg", "images/d.jpg")
        monkeypatch.chdir(tmp_path)
        a_file(tmp_path / "lists" / "train.txt", f"../images/b.jpg\n{tmp_path}/images/a.jpg\n")
        a_file(tmp_path / "val.txt", "./images/c.jpg\n")
        data = a_file(tmp_path / "data.yaml", f"train: lists/train.txt\nval: val.txt\n{NAMES}")

        packing = read_dataset(data)

        assert packing.texts["split-train.txt"] == b"images/a.jpg\nimages/b.jpg\n"
        assert "images/d.jpg" not in packing.files
        assert paths_in(packing.texts["data.yaml"])["val"] == "split-val.txt"

    def test_several_folders_of_a_split_keep_their_places(self, tmp_path: Path) -> None:
        a_set(tmp_path, "one/images/a.jpg", "two/images/b.jpg", "three/images/c.jpg")
        text = f"train:\n- one/images\n- two/images # also\nval: three/images\n{NAMES}"
        data = a_file(tmp_path / "data.yaml", text)

        packing = read_dataset(data)

        assert paths_in(packing.texts["data.yaml"])["train"] == ["one/images", "two/images"]
        assert "two/labels/b.txt" in packing.files

    def test_masks_are_sent_where_it_names_their_folder(self, tmp_path: Path) -> None:
        a_set(tmp_path, "images/train/a.jpg", "images/val/b.jpg")
        a_file(tmp_path / "masks" / "train" / "a.png")
        a_file(tmp_path / "masks" / "val" / "b.png")
        text = f"train: images/train\nval: images/val\nmasks_dir: masks\n{NAMES}"

        packing = read_dataset(a_file(tmp_path / "data.yaml", text))

        assert {path for path in packing.files if not path.startswith("images")} == {
            "masks/train/a.png",
            "masks/val/b.png",
        }

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (f"train: images/train\n{NAMES}", "no `val`"),
            (f"train: images/tain\nval: images/val\n{NAMES}", "images/tain leads to"),
            ("train: images/train\nval: images/val\n", "neither `names` nor `nc`"),
            (f"train: {{a: b}}\nval: images/val\n{NAMES}", "line 1: `train` is expected"),
        ],
    )
    def test_a_mistake_is_named(self, tmp_path: Path, text: str, said: str) -> None:
        a_set(tmp_path, "images/train/a.jpg", "images/val/b.jpg")

        with pytest.raises(LayoutError) as caught:
            read_dataset(a_file(tmp_path / "data.yaml", text))

        assert said in str(caught.value)

    def test_a_folder_whose_links_lead_back_has_an_end(self, tmp_path: Path) -> None:
        a_set(tmp_path, "images/train/a.jpg", "images/val/b.jpg")
        (tmp_path / "images" / "train" / "again").symlink_to(tmp_path / "images")
        data = a_file(tmp_path / "data.yaml", f"train: images/train\nval: images/val\n{NAMES}")

        assert len(read_dataset(data).files) <= 6


class TestFolders:
    def test_the_data_yaml_of_a_folder_is_used(self, tmp_path: Path) -> None:
        a_set(tmp_path, "images/train/a.jpg", "images/val/b.jpg")
        a_file(tmp_path / "set.yaml", f"train: images/train\nval: images/val\n{NAMES}")

        assert read_dataset(tmp_path).texts.keys() == {"data.yaml"}

    def test_two_of_them_are_named(self, tmp_path: Path) -> None:
        a_file(tmp_path / "one.yaml")
        a_file(tmp_path / "two.yaml")

        with pytest.raises(LayoutError, match=r"one\.yaml, two\.yaml"):
            read_dataset(tmp_path)

    def test_folders_of_classes_are_sent_without_other_files(self, tmp_path: Path) -> None:
        for path in ("train/disc/a.jpg", "train/ring/b.png", "valid/disc/c.jpg", "notes.txt"):
            a_file(tmp_path / path)

        packing = read_dataset(tmp_path, "classify")

        assert set(packing.files) == {"train/disc/a.jpg", "train/ring/b.png", "valid/disc/c.jpg"}
        assert packing.images == {"train": 2, "val": 1}

    def test_annotations_of_other_formats_are_sent(self, tmp_path: Path) -> None:
        for path in ("train/a.jpg", "train/_annotations.coco.json", "weights.pt", ".git/config"):
            a_file(tmp_path / path)

        assert set(read_dataset(tmp_path).files) == {"train/a.jpg", "train/_annotations.coco.json"}


PATHS = {"path", "train", "val", "test"}
TEXTS = [
    "train: images/train # comment\nval: 'it''s here'\ntest:\n",
    'train: ["a b", c/d]\nval: [\n  x,\n  "y, z"\n]\n',
    "path: ../datasets/coco8 # root\ntrain:\n  - a\n  - 'b: c'\nval: images/val\nnc: 2\n",
    "train:\n- a\n- b\n\n# note\nval: ~\nnames:\n  0: x\n  train: y\n",
    '"train": a#b\nval: null\n',
    "path: &root >-\n  a\n  b\ntrain: *root\nval: |\n  x\nnames: {0: a}\n",
    "%YAML 1.1\n---\ntrain: a\n  b\nval: ['x', \"y\\u00e9\"]  # two\n...\n",
]


class TestYamlKeys:
    @pytest.mark.parametrize("text", TEXTS)
    def test_the_text_without_paths_has_the_other_values(self, text: str) -> None:
        entries = entries_of(text)

        rest = yaml.safe_load(without(text, [entries[key] for key in entries if key in PATHS]))

        theirs = yaml.safe_load(text)
        assert (rest or {}) == {key: theirs[key] for key in theirs if key not in PATHS}

    def test_bytes_that_are_not_utf_8_and_control_characters_are_kept(self) -> None:
        kept = b"names: [caf\xe9, \x07]\n".decode("utf-8", "surrogateescape")
        path = b"\xe9t\xe9".decode("utf-8", "surrogateescape")
        text = f"{kept}train: {path}\nval: x\n"

        entries = entries_of(text)

        assert entries["train"].paths() == [path]
        assert without(text, [entries["train"]]) == f"{kept}val: x\n"

    @pytest.mark.parametrize(
        ("text", "line"),
        [("a: [1\nb: 2\n", 2), ("{train: a, val: b}", 1), ("- a\n", 1), ("  a: b\n", 1)],
    )
    def test_what_cannot_be_read_is_told_with_its_line(self, text: str, line: int) -> None:
        with pytest.raises(YamlError) as caught:
            entries_of(text)

        assert caught.value.line == line

    @pytest.mark.parametrize("text", TEXTS)
    def test_values_are_those_of_a_yaml_library(self, text: str) -> None:
        theirs = yaml.safe_load(text)

        ours = {key: entry.paths() for key, entry in entries_of(text).items() if key in PATHS}

        for key, value in ours.items():
            wanted = theirs[key] or []
            assert value == (wanted if isinstance(wanted, list) else [wanted])
