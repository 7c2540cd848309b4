"""Training facts: recorded with a verification, or read later from the pack, they are the same."""

from pathlib import Path
from typing import Any, Final

import pytest

from app.core.tasks import Task
from app.datasets.packs.pack import PackCorruptError
from app.datasets.reports.report import PackRequest, TrainingFacts
from app.datasets.verification.pack_facts import read_pack_facts
from tests.datasets.builders import (
    POSE_KEYS,
    Files,
    class_files,
    depth_files,
    label_files,
    mask_files,
)
from tests.datasets.verdicts import Verify

pytestmark = pytest.mark.unit

NOT_FLIPPED: Final[dict[str, Any]] = {"kpt_shape": [4, 3]}
SETS: Final[dict[str, tuple[Task, Files, TrainingFacts]]] = {
    "detect": (
        "detect",
        label_files("detect"),
        TrainingFacts(
            running_max_objects={"train": [(0, 1), (1, 2)], "val": [(0, 1), (1, 2)]},
            has_flip_idx=False,
            has_masks=False,
        ),
    ),
    "pose": (
        "pose",
        label_files("pose", **POSE_KEYS),
        TrainingFacts(
            running_max_objects={"train": [(0, 1), (1, 2)], "val": [(0, 1), (1, 2)]},
            has_flip_idx=True,
            has_masks=False,
        ),
    ),
    "pose-without-flip-idx": (
        "pose",
        label_files("pose", **NOT_FLIPPED),
        TrainingFacts(
            running_max_objects={"train": [(0, 1), (1, 2)], "val": [(0, 1), (1, 2)]},
            has_flip_idx=False,
            has_masks=False,
        ),
    ),
    "polygons": (
        "semantic",
        label_files("segment"),
        TrainingFacts(
            running_max_objects={"train": [(0, 1), (1, 2)], "val": [(0, 1), (1, 2)]},
            has_flip_idx=False,
            has_masks=False,
        ),
    ),
    "masks": (
        "semantic",
        mask_files(),
        TrainingFacts(running_max_objects=None, has_flip_idx=False, has_masks=True),
    ),
    "depth": (
        "depth",
        depth_files(),
        TrainingFacts(running_max_objects=None, has_flip_idx=False, has_masks=False),
    ),
    "classify": (
        "classify",
        class_files(),
        TrainingFacts(running_max_objects=None, has_flip_idx=False, has_masks=False),
    ),
}


def in_the_pack(tmp_path: Path, task: Task) -> TrainingFacts:
    return read_pack_facts(PackRequest(pack=tmp_path / "pack.zip", output=tmp_path, task=task))


class TestFacts:
    @pytest.mark.parametrize("row", SETS)
    def test_a_report_has_the_facts_of_its_dataset(self, row: str, verified: Verify) -> None:
        task, files, facts = SETS[row]

        report = verified(files, task)

        assert report.training == facts

    @pytest.mark.parametrize("row", SETS)
    def test_a_pack_has_the_facts_of_its_report(
        self, row: str, verified: Verify, tmp_path: Path
    ) -> None:
        task, files, _ = SETS[row]
        report = verified(files, task)

        facts = in_the_pack(tmp_path, task)

        assert facts == report.training

    def test_the_first_record_is_the_first_image_with_an_object(
        self, verified: Verify, tmp_path: Path
    ) -> None:
        files = label_files("detect", train=6)
        del files["labels/train/0000.txt"]
        files["labels/train/0001.txt"] = b""
        files["labels/train/0003.txt"] = b"0 0.5 0.5 0.2 0.2\n" * 9
        report = verified(files)

        facts = in_the_pack(tmp_path, "detect")

        assert facts.running_max_objects is not None
        assert facts.running_max_objects["train"] == [(2, 1), (5, 2)]
        assert facts == report.training

    def test_an_invalid_dataset_has_no_facts(self, verified: Verify) -> None:
        report = verified(label_files("detect", names=["disc"]))

        assert (report.state, report.training) == ("invalid", None)

    def test_a_file_that_is_no_pack_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "pack.zip").write_bytes(b"no zip")

        with pytest.raises(PackCorruptError):
            in_the_pack(tmp_path, "detect")
