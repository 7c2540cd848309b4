"""The pack: equal files give equal bytes, and training reads it like the upload itself."""

import hashlib
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core.tasks import Task
from app.datasets.packs.extract import materialise_view, pack_files
from app.datasets.packs.manifest import read_manifest
from app.datasets.packs.pack import PackCorruptError, PackWriter
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.report import ImportOptions, Report, VerificationRequest
from app.datasets.verification.verify import verify
from tests.datasets.builders import (
    POSE_KEYS,
    Files,
    a_yaml,
    a_zip,
    an_image,
    class_files,
    depth_files,
    label_files,
    mask_files,
)
from tests.datasets.oracle import Oracle
from tests.datasets.outputs import extract_output

SETS: dict[str, tuple[Files, Task]] = {
    "detect": (label_files("detect"), "detect"),
    "segment": (label_files("segment"), "segment"),
    "pose": (label_files("pose", **POSE_KEYS), "pose"),
    "obb": (label_files("obb"), "obb"),
    "classify": (class_files(), "classify"),
    "semantic-masks": (mask_files(), "semantic"),
    "semantic-polygons": (label_files("segment"), "semantic"),
    "depth-png": (depth_files(depth_scale=1000, max_depth=10), "depth"),
    "depth-npy": (depth_files(as_npy=True), "depth"),
}

ANY_CHARACTER = st.characters(exclude_characters="/\\\0", codec="utf-8")


def quick(rows: set[str]) -> list[Any]:
    """Return all rows of `SETS` as parameters, slow except those given."""
    return [row if row in rows else pytest.param(row, marks=pytest.mark.slow) for row in SETS]


def packed(folder: Path, files: Files, task: Task) -> Report:
    folder.mkdir(parents=True, exist_ok=True)
    archive = a_zip(folder / "upload.zip", files)
    return verify(
        VerificationRequest(archive=archive, output=folder, options=ImportOptions(task=task))
    )


def a_view(folder: Path, files: Files, task: Task) -> Path:
    """Verify, extract and materialise; return the path that Ultralytics takes as `data`."""
    report = packed(folder, files, task)
    assert report.state == "ready", report.findings
    extract_output(folder, folder / "root")
    return materialise_view(folder / "root", folder / "view")


def unpacked(folder: Path, files: Files) -> Path:
    """Write the unchanged upload to disk, as its owner would have it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / "data.yaml" if "data.yaml" in files else folder


def tree(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


class TestThePack:
    def test_the_same_files_in_another_order_give_the_same_bytes(self, tmp_path: Path) -> None:
        files, task = SETS["detect"]

        first = packed(tmp_path / "a", files, task)
        second = packed(tmp_path / "b", dict(reversed(files.items())), task)

        assert first.manifest_digest == second.manifest_digest
        assert (tmp_path / "a/pack.zip").read_bytes() == (tmp_path / "b/pack.zip").read_bytes()

    def test_another_label_gives_another_digest(self, tmp_path: Path) -> None:
        files, task = SETS["detect"]
        changed = {**files, "labels/train/0000.txt": b"0 0.5 0.5 0.25 0.2\n"}

        first = packed(tmp_path / "a", files, task)
        second = packed(tmp_path / "b", changed, task)

        assert first.manifest_digest != second.manifest_digest

    def test_the_manifest_names_every_member_by_its_content(self, tmp_path: Path) -> None:
        report = packed(tmp_path, *SETS["detect"])

        manifest = list(read_manifest(tmp_path / "manifest.jsonl"))
        digest = hashlib.sha256((tmp_path / "manifest.jsonl").read_bytes()).hexdigest()
        with zipfile.ZipFile(tmp_path / "pack.zip") as pack:
            members = {
                name: hashlib.sha256(pack.read(name)).hexdigest() for name in pack.namelist()
            }
        assert report.manifest_digest == digest
        assert {file.path: file.sha256 for file in manifest} == members
        assert [file.path for file in manifest] == sorted(members)

    def test_members_are_stored_plainly(self, tmp_path: Path) -> None:
        packed(tmp_path, *SETS["detect"])

        with zipfile.ZipFile(tmp_path / "pack.zip") as pack:
            assert {entry.compress_type for entry in pack.infolist()} == {zipfile.ZIP_STORED}
            assert {entry.date_time[0] for entry in pack.infolist()} == {1980}

    def test_unsafe_names_become_numbers_in_the_same_order(self, tmp_path: Path) -> None:
        files, task = SETS["detect"]
        old = ("0000", "0001")
        new = ("9" * 220, "tab\there")
        for one, other in zip(old, new, strict=True):
            files = {name.replace(f"train/{one}", f"train/{other}"): c for name, c in files.items()}

        report = packed(tmp_path, files, task)

        with zipfile.ZipFile(tmp_path / "pack.zip") as pack:
            images = sorted(name for name in pack.namelist() if name.startswith("images/train"))
            contents = [pack.read(name) for name in images]
        wanted = sorted(name for name in files if name.startswith("images/train"))
        assert [finding.code for finding in report.findings] == [Code.NAMES_REPLACED]
        assert contents == [files[name] for name in wanted]
        assert images[0] == "images/train/0000000.jpg"

    @pytest.mark.parametrize("odd", ["emoji 🚦", "con", "trailing dot.", "naïve"])
    def test_odd_but_safe_names_stay_in_the_pack(self, odd: str, tmp_path: Path) -> None:
        files, task = SETS["detect"]
        files = {name.replace("train/0000", f"train/{odd}"): c for name, c in files.items()}

        packed(tmp_path, files, task)

        with zipfile.ZipFile(tmp_path / "pack.zip") as pack:
            assert f"images/train/{odd}.jpg" in pack.namelist()

    def test_two_folders_of_one_split_keep_the_order_of_their_paths(self, tmp_path: Path) -> None:
        files, task = SETS["detect"]
        parts = {"0000": "b", "0001": "a", "0002": "a-b"}
        for stem, part in parts.items():
            files = {n.replace(f"train/{stem}", f"{part}/{stem}"): c for n, c in files.items()}
        files["data.yaml"] = a_yaml(train=[f"images/{part}" for part in ("b", "a", "a-b")])

        packed(tmp_path, files, task)

        sources = sorted(name for name in files if name.startswith(("images/a", "images/b")))
        with zipfile.ZipFile(tmp_path / "pack.zip") as pack:
            images = sorted(name for name in pack.namelist() if name.startswith("images/train"))
            assert [pack.read(name) for name in images] == [files[name] for name in sources]


class TestAnyNames:
    @given(
        stems=st.lists(
            st.text(
                st.characters(exclude_characters="/\\\0", codec="utf-8"), min_size=1, max_size=60
            ).filter(lambda stem: not stem.startswith(".")),  # hidden files are left out
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    @example(stems=["con", "aux.", "x ", "\u202egpj", "🚦", "ü" * 120])
    @settings(max_examples=25, deadline=None)
    def test_images_of_any_name_are_refused_or_extracted_in_their_order(
        self, stems: list[str]
    ) -> None:
        files = label_files("detect", train=0, val=1) | {
            f"images/train/{stem}.jpg": an_image(number, side=16)
            for number, stem in enumerate(stems)
        }
        files |= {f"labels/train/{stem}.txt": b"0 0.5 0.5 0.2 0.2\n" for stem in stems}
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)

            report = packed(folder, files, "detect")

            assert report.model_dump_json().isprintable()
            if report.state == "ready":
                extract_output(folder, folder / "root")
                stored = sorted((folder / "root" / "images" / "train").rglob("*.jpg"))
                names = [name for name in files if name.startswith("images/train/")]
                assert [path.read_bytes() for path in stored] == [
                    files[name] for name in sorted(names)
                ]


class TestThePacksFiles:
    def test_a_damaged_pack_is_refused(self, tmp_path: Path) -> None:
        packed(tmp_path, *SETS["detect"])
        content = bytearray((tmp_path / "pack.zip").read_bytes())
        content[2000] ^= 1
        (tmp_path / "pack.zip").write_bytes(content)

        with pytest.raises(PackCorruptError):
            list(pack_files(tmp_path / "pack.zip"))

    def test_a_pack_that_leads_out_is_refused(self, tmp_path: Path) -> None:
        with PackWriter(tmp_path / "pack.zip") as pack:
            pack.add("../escaped.txt", b"x")

        with pytest.raises(PackCorruptError):
            list(pack_files(tmp_path / "pack.zip"))


class TestTrainingOnAView:
    @pytest.mark.parametrize("row", quick({"detect", "segment", "pose", "classify", "depth-png"}))
    def test_a_view_has_the_samples_of_the_upload_in_the_same_order(
        self, row: str, oracle: Oracle, tmp_path: Path
    ) -> None:
        files, task = SETS[row]
        data = a_view(tmp_path, files, task)
        plain = unpacked(tmp_path / "plain", files)

        ours = oracle.ask("dataset", data, task)
        theirs = oracle.ask("dataset", plain, task)

        assert len(ours["files"]) >= 8
        assert [Path(file).name for file in ours["files"]] == [
            Path(file).name for file in theirs["files"]
        ]
        assert ours["names"] == theirs["names"]
        assert ours.get("boxes") == theirs.get("boxes")
        assert ours.get("keys") == theirs.get("keys")

    @pytest.mark.parametrize("row", quick({"detect", "classify", "semantic-masks"}))
    def test_training_writes_into_the_view_and_never_into_the_pack(
        self, row: str, oracle: Oracle, tmp_path: Path
    ) -> None:
        data = a_view(tmp_path, *SETS[row])
        before = tree(tmp_path / "root")

        oracle.ask("dataset", data, SETS[row][1])

        assert tree(tmp_path / "root") == before
        caches = [path.name for path in (tmp_path / "view").rglob("*.cache")]
        assert caches == ["train.cache"]

    def test_our_yaml_has_every_key_that_the_task_uses(self, tmp_path: Path) -> None:
        sigmas = [0.1, 0.1, 0.2, 0.2]
        names = {0: ["l", "r", "t", "b"]}
        keys: dict[str, Any] = {
            **POSE_KEYS,
            "kpt_oks_sigmas": sigmas,
            "kpt_names": names,
            "depth_scale": 5,
        }
        data = a_view(tmp_path, label_files("pose", **keys), "pose")

        written = yaml.safe_load(data.read_bytes())

        assert written == {
            "train": "images/train",
            "val": "images/val",
            "names": {0: "disc", 1: "square", 2: "triangle"},
            "channels": 3,
            "kpt_shape": [4, 3],
            "flip_idx": [1, 0, 2, 3],
            "kpt_names": names,
            "kpt_oks_sigmas": sigmas,
        }

    def test_nothing_else_of_the_archive_reaches_it(self, tmp_path: Path) -> None:
        files, task = SETS["detect"]
        evil = {"labels/train.cache": b"\x93NUMPY", "x.py": b"", "images/train/0000.npy": b""}

        a_view(tmp_path, {**files, **evil}, task)

        names = {path.suffix for path in (tmp_path / "view").rglob("*.*")}
        assert names == {".jpg", ".txt", ".yaml"}

    def test_the_yaml_of_a_view_is_its_own(self, tmp_path: Path) -> None:
        data = a_view(tmp_path, *SETS["detect"])

        assert not data.is_symlink()
        linked = tmp_path / "view/images/train/0000.jpg"
        assert linked.resolve() == (tmp_path / "root/images/train/0000.jpg").resolve()


class TestTheWriter:
    def test_a_path_keeps_its_first_content(self, tmp_path: Path) -> None:
        with PackWriter(tmp_path / "pack.zip") as pack:
            first, second = pack.add("a.txt", b"1"), pack.add("a.txt", b"2")

        assert first == second
