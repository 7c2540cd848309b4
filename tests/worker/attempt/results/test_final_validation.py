"""What a final validation shows is checked and stored; what a trainer makes up is left out."""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import update
from structlog.testing import capture_logs

from app.artifacts.names import CURVES, WORST_IMAGES
from app.artifacts.validation import CURVES_BYTES
from app.artifacts.worst_images import BundleReader
from app.core.database import Database
from app.datasets.tables import DatasetVersion
from tests.worlds.rows import claim, job_row
from tests.worlds.worker import PATIENT, Worker, a_lease
from worker.attempt.claimed import ClaimedAttempt
from worker.attempt.conclusion import KeptArtifact
from worker.attempt.directory import attempt_directory
from worker.attempt.results.final_validation import store_final_validation
from worker.trainer.protocol import FinalEvent

pytestmark = pytest.mark.mostly_sqlite

POINTS = [0.0, 0.5, 1.0]
CURVE: dict[str, Any] = {"x": POINTS, "mean": POINTS, "classes": {"1": POINTS, "0": POINTS}}
CONFUSION: dict[str, Any] = {
    "unit": "objects",
    "conf": 0.001,
    "iou": 0.45,
    "names": ["0", "1", "background"],
    "matrix": [[1, 2, 3], [4, 5, 6], [7, 8, 0]],
    "cells": None,
    "cells_left_out": 0,
}
DOCUMENT: dict[str, Any] = {
    **dict.fromkeys(("pr", "f1", "precision", "recall"), CURVE),
    "confusion": CONFUSION,
    "classes_total": 2,
}
IMAGE: dict[str, Any] = {"file": "images/val/a.png", "badness": 2.5, "missed": 2}
BROKEN = b"\x89PNG\r\n\x1a\n" + b"no chunk of a PNG"

MADE_UP_CURVES: dict[str, object] = {
    "no JSON": b"{",
    "deep": b"[" * 100_000,
    "too large": b" " * (CURVES_BYTES + 1),
    "NaN": json.dumps(DOCUMENT).replace("0.5", "NaN").encode(),
    "infinity": json.dumps(DOCUMENT).replace("0.5", "1e999").encode(),
    "points": DOCUMENT | {"pr": CURVE | {"x": [0.0] * 1001}},
    "lengths": DOCUMENT | {"pr": CURVE | {"mean": [0.0]}},
    "class": DOCUMENT | {"pr": CURVE | {"classes": {"7": POINTS}}},
    "name": DOCUMENT | {"pr": CURVE | {"classes": {"<b>": POINTS}}},
    "classes": DOCUMENT | {"pr": CURVE | {"classes": {str(n): POINTS for n in range(201)}}},
    "matrix": DOCUMENT | {"confusion": CONFUSION | {"matrix": [[1]]}},
    "cell": DOCUMENT | {"confusion": CONFUSION | {"matrix": None, "cells": [[0, 9, 1]]}},
    "negative": DOCUMENT | {"confusion": CONFUSION | {"matrix": [[-1] * 3] * 3}},
    "further field": DOCUMENT | {"more": 1},
}
MADE_UP_IMAGES: dict[str, dict[str, object]] = {
    "outside": {"file": "../../foreign.png"},
    "absolute": {"file": "/etc/passwd"},
    "badness": {"badness": -1},
    "truths": {"truths": [{"class": 0, "outcome": "hit"}] * 101},
    "confidence": {"predictions": [{"class": 0, "confidence": 7, "outcome": "hit"}]},
    "box": {"truths": [{"class": 0, "outcome": "hit", "box": [1e9, 0, 0, 0]}]},
    "width": {"width": 0},
}


@dataclass(frozen=True)
class Finished:
    """A training that has finished: its attempt, and the folder of its dataset."""

    attempt: ClaimedAttempt
    dataset: Path

    def write(self, name: str, content: bytes) -> str:
        (self.attempt.directory.run / name).write_bytes(content)
        return name

    def store(
        self,
        *,
        curves: object = None,
        worst: object = None,
        plots: Mapping[str, bytes] | None = None,
    ) -> dict[str, KeptArtifact]:
        """Store what the trainer has written, as JSON or as bytes; return it by name."""
        files = {"curves": curves, "worst_images": worst}
        named = {
            field: self.write(f"{field}.json", _as_bytes(content))
            for field, content in files.items()
            if content is not None
        }
        artifacts = [
            {"name": name, "path": self.write(name, content), "kind": "plot"}
            for name, content in (plots or {}).items()
        ]
        final: dict[str, Any] = {
            "epochs_done": 1,
            "best_epoch": 1,
            "best_fitness": None,
            "metrics": {},
            "artifacts": artifacts,
        }
        event = FinalEvent.model_validate(final | named)
        kept = store_final_validation(self.attempt, event, self.dataset)
        return {each.name: each for each in kept}

    def content(self, kept: KeptArtifact) -> bytes:
        stored, store = kept.stored, self.attempt.context.store
        return b"".join(store.open_range(stored.sha256, 0, stored.size_bytes))


@pytest.fixture
def finished(database: Database, worker: Worker, tmp_path: Path) -> Iterator[Finished]:
    job_id = worker.submit()
    names = update(DatasetVersion).values(classes=["circle", "square"])
    with database.write() as unit:
        unit.session.execute(names.where(DatasetVersion.id == worker.rows.version_id))
    hold = claim(database)
    dataset = tmp_path / "dataset"
    (dataset / "images" / "val").mkdir(parents=True)
    (dataset / "images" / "val" / "a.png").write_bytes(a_picture(1280, 960))
    with attempt_directory(worker.context.attempts_folder, hold) as directory:
        lease = a_lease(database, hold, timing=PATIENT)
        yield Finished(
            ClaimedAttempt(worker.context, job_row(database, job_id), lease, directory), dataset
        )


class TestCurves:
    def test_curves_are_stored_with_the_names_of_the_classes(self, finished: Finished) -> None:
        kept = finished.store(curves=DOCUMENT)

        shown = json.loads(gzip.decompress(finished.content(kept[CURVES])))
        assert list(shown["pr"]["classes"]) == ["square", "circle"]
        assert shown["confusion"]["names"] == ["circle", "square", "background"]
        assert shown["confusion"]["matrix"] == CONFUSION["matrix"]
        assert shown["masks"] is None

    def test_equal_curves_are_equal_bytes(self, finished: Finished) -> None:
        first, second = (finished.store(curves=DOCUMENT)[CURVES] for _ in range(2))

        assert first.stored == second.stored

    def test_curves_that_a_trainer_made_up_are_left_out(self, finished: Finished) -> None:
        with capture_logs() as lines:
            stored = [name for name, made in MADE_UP_CURVES.items() if finished.store(curves=made)]

        assert stored == []
        assert [line["event"] for line in lines] == ["validation.refused"] * len(MADE_UP_CURVES)

    def test_curves_behind_a_link_are_left_out(self, finished: Finished, tmp_path: Path) -> None:
        foreign = tmp_path / "foreign.json"
        foreign.write_text(json.dumps(DOCUMENT))
        (finished.attempt.directory.run / "curves.json").symlink_to(foreign)
        final = FinalEvent(
            epochs_done=1,
            best_epoch=1,
            best_fitness=None,
            metrics={},
            artifacts=[],
            curves="curves.json",
        )

        assert store_final_validation(finished.attempt, final, finished.dataset) == ()


class TestPictures:
    def test_plots_and_worst_images_get_small_previews(self, finished: Finished) -> None:
        shown = {"conf": 0.25, "iou": 0.5, "images_total": 8, "images": [IMAGE]}
        plots = {
            "results.png": a_picture(1040, 780),
            "transparent.png": a_picture(40, 30, mode="RGBA"),
            "broken.png": BROKEN,
            "bomb.png": a_bomb(),
            "text.jpg": b"no picture",
        }

        with capture_logs() as lines:
            kept = finished.store(worst=shown, plots=plots)

        assert kept.keys() == {WORST_IMAGES, "preview/results.png", "preview/transparent.png"}
        assert kept["preview/results.png"].size == (520, 390)
        assert size_of(finished.content(kept["preview/results.png"])) == ("JPEG", (520, 390))
        assert size_of(finished.content(kept["preview/transparent.png"])) == ("JPEG", (40, 30))
        assert "pictures.not_all_made" in [line["event"] for line in lines]
        reader = BundleReader(finished.attempt.context.store, kept[WORST_IMAGES].stored.sha256)
        (image,) = reader.images().images
        assert (image.file, image.missed, image.width, image.height) == (
            "images/val/a.png", 2, 1280, 960
        )  # fmt: skip
        (preview,) = reader.previews
        assert preview is not None
        content = b"".join(reader.read(preview, 0, preview.size))
        assert size_of(content) == ("JPEG", (640, 480))

    def test_an_image_that_is_no_file_of_the_dataset_has_no_preview(
        self, finished: Finished
    ) -> None:
        absent = IMAGE | {"file": "images/val/absent.png"}

        kept = finished.store(
            worst={"conf": None, "iou": None, "images_total": 1, "images": [absent]}
        )

        store = finished.attempt.context.store
        assert BundleReader(store, kept[WORST_IMAGES].stored.sha256).previews == [None]

    def test_images_that_a_trainer_made_up_are_left_out(self, finished: Finished) -> None:
        shown = {"conf": None, "iou": None, "images_total": 1}

        with capture_logs() as lines:
            stored = [
                name
                for name, made in MADE_UP_IMAGES.items()
                if finished.store(worst=shown | {"images": [IMAGE | made]})
            ]

        assert stored == []
        assert [line["event"] for line in lines] == ["validation.refused"] * len(MADE_UP_IMAGES)


def a_picture(width: int, height: int, *, mode: str = "RGB") -> bytes:
    content = BytesIO()
    Image.new(mode, (width, height), (200, 40, 40, 128)[: len(mode)]).save(content, "PNG")
    return content.getvalue()


def a_bomb() -> bytes:
    """Return a PNG whose header promises more pixels than anything may have."""
    content = bytearray(a_picture(10, 10))
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    return bytes(content)


def size_of(content: bytes) -> tuple[str | None, tuple[int, int]]:
    with Image.open(BytesIO(content)) as image:
        return image.format, image.size


def _as_bytes(content: object) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()
