"""Jobs with everything that their pages show, in the rows that a worker writes."""

import gzip
import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue

from app.artifacts.names import CURVES, WORST_IMAGES, ArtifactKind, preview_name
from app.artifacts.repository import insert_artifact
from app.artifacts.validation import Curves, WorstImages
from app.artifacts.worst_images import PreviewContent, write_bundle
from app.core.storage import StoredObject
from app.events.tables import Level
from app.jobs.end_reasons import EndReason
from app.jobs.life.claim import SlotOffer, claim_job
from app.jobs.life.log_pieces import append_log, replace_log_pieces
from app.jobs.life.recorded import recorded_of
from app.jobs.life.recording import (
    EpochReport,
    ProgressReport,
    log_event,
    note_resumed,
    note_started,
    record_epoch,
    record_progress,
    trim_epochs_after,
)
from app.jobs.life.transitions import AttemptEnd, apply_event
from app.jobs.locks import Hold, lock_held
from app.jobs.spec.deciding_metric import DecidingMetric
from app.jobs.states import JobEvent
from tests.worlds.server import Api

NUMBERS: Final = itertools.count()
LEASE: Final = timedelta(hours=2)
"""Longer than a module of tests takes on a slow machine: no worker renews it."""
F1: Final = "metrics/F1(B)"
JPEG: Final = b"\xff\xd8\xff a picture that no test decodes"
LOG: Final = (
    "Starting training for 4 epochs...\n"
    "WARNING a warning of the trainer\n"
    "<script>alert(1)</script>\n"
    "worker.trainer.errors.Diverged: Losses stayed NaN.\n"
)
CUSTOMIZED: Final[dict[str, Any]] = {
    "name": "cells-f1",
    "tags": {"goal": "demo"},
    "train": {"epochs": 4, "imgsz": 64, "batch": 4, "optimizer": "AdamW", "close_mosaic": 1},
    "customize": {
        "metrics": {"f1": True, "per_class": True},
        "best_model": {"metric": F1},
        "freeze": {"layers": "backbone", "epochs": 1},
        "layer_lrs": [{"layers": "backbone", "factor": 0.25}],
    },
}
CLASS_COLUMNS: Final = ("precision(B)", "recall(B)", "f1(B)", "ap50(B)", "ap50_95(B)")
ENVIRONMENT: Final[dict[str, JsonValue]] = {"python": "3.11", "torch": "2.9.1", "threads": 1}
CHECKS: Final[dict[str, JsonValue]] = {
    "loads": True,
    "forward": True,
    "safe_load": True,
    "ultralytics": "8.4.190",
    "task": "detect",
    "classes": 2,
    "parameters": 2_504_970,
    "imgsz": 64,
}
CURVE: Final = {"x": [0.0, 0.5, 1.0], "mean": [0.9, 0.5, 0.0], "classes": {"circle": [1, 0.6, 0]}}
VALIDATED: Final = Curves.model_validate(
    {
        **dict.fromkeys(("pr", "f1", "precision", "recall"), CURVE),
        "classes_total": 2,
        "confusion": {
            "unit": "objects",
            "conf": 0.25,
            "iou": 0.45,
            "names": ["circle", "square", "background"],
            "matrix": [[40, 3, 5], [2, 30, 1], [7, 0, 0]],
            "cells": None,
            "cells_left_out": 0,
        },
    }
)
WORST: Final = WorstImages.model_validate(
    {
        "conf": 0.25,
        "iou": 0.5,
        "images_total": 40,
        "images": [
            {
                "file": "images/val/a.png",
                "width": 64,
                "height": 48,
                "badness": 2.5,
                "missed": 1,
                "confused": 1,
                "classes": [{"class": 0, "missed": 1, "confused": 1}, {"class": 1, "confused": 1}],
                "truths": [
                    {"class": 0, "box": [0.5, 0.5, 0.2, 0.1], "outcome": "missed"},
                    {
                        "class": 0,
                        "corners": [0.1, 0.1, 0.3, 0.1, 0.3, 0.3, 0.1, 0.3],
                        "outcome": "confused",
                        "predicted_class": 1,
                    },
                ],
                "truths_total": 2,
                "predictions": [
                    {
                        "class": 1,
                        "confidence": 0.9,
                        "box": [0.2, 0.2, 0.2, 0.2],
                        "outcome": "confused",
                        "true_class": 0,
                    }
                ],
                "predictions_total": 1,
            },
            {
                "file": "images/val/b.png",
                "badness": 1,
                "false": 1,
                "classes": [{"class": 1, "false": 1}],
            },
        ],
    }
)


@dataclass
class Training:
    """A job that a worker holds; its methods write the rows that the worker writes."""

    api: Api
    folder: Path
    queue: str
    hold: Hold

    @property
    def path(self) -> str:
        """Path of the job's pages."""
        return f"/jobs/{self.hold.job_id}"

    def start(self, *, first_epoch: int = 1, epochs: int = 4) -> None:
        """Report that the trainer has started."""
        data: dict[str, JsonValue] = {
            "first_epoch": first_epoch,
            "epochs": epochs,
            "batches_per_epoch": 13,
            "batch_size": 4,
            "device_name": "cpu",
            "optimizer": "AdamW",
            "lr0": 0.002,
            "threads": 1,
            "train_images": 205,
            "val_images": 87,
            "environment": ENVIRONMENT,
        }
        with self.api.database.write() as unit:
            note_started(
                unit.session, self.hold, device_name="cpu", first_epoch=first_epoch, data=data
            )

    def progress(self, epoch: int, epochs: int, batch: int, eta_seconds: float | None) -> None:
        """Report progress."""
        report = ProgressReport(epoch, epochs, batch, 13, {"box_loss": 1.5}, eta_seconds)
        with self.api.database.write() as unit:
            record_progress(unit.session, self.hold, report, lease=LEASE)

    def epoch(
        self, number: int, *, f1: float | None = None, epochs: int = 4, classes: bool = True
    ) -> None:
        """Report a finished epoch, whose F1 grows with its number unless it is given."""
        f1 = number / 10 if f1 is None else f1
        report = EpochReport(
            epoch=number,
            epochs=epochs,
            metrics={
                "train/box_loss": 3.0 / number,
                "val/box_loss": 2.5 / number,
                "metrics/precision(B)": 0.5,
                "metrics/recall(B)": None if number == 2 else 0.25,
                "metrics/mAP50(B)": 0.3,
                "metrics/mAP50-95(B)": 0.05 * number,
                F1: f1,
            },
            lr={"lr/backbone/weight": 0.0005, "lr/rest/weight": 0.002},
            system={"cpu": 1.5, "memory_bytes": 1.1e9, "loader_wait_seconds": 0.2},
            classes={name: [0.1 * number, 0.0] for name in CLASS_COLUMNS} if classes else None,
            duration_seconds=2.0,
            optimizer_steps=13,
            deciding_metric=F1,
            value=f1,
            rank=f1,
            is_best=True,
        )
        with self.api.database.write() as unit:
            record_epoch(unit.session, self.hold, report, recorded_of(unit.session, self.hold))

    def event(self, type_: str, level: Level = Level.INFO, **data: JsonValue) -> None:
        """Report something."""
        with self.api.database.write() as unit:
            log_event(unit.session, self.hold, type_, level=level, data=data)

    def log(self, text: str = LOG) -> None:
        """Report a part of the log."""
        with self.api.database.write() as unit:
            append_log(unit.session, self.hold, offset=0, chunk=text.encode())

    def store_log(self, text: str = LOG) -> None:
        """Store the log of the ended attempt as a file."""
        stored = self._stored(text.encode())
        with self.api.database.write() as unit:
            replace_log_pieces(unit.session, self.hold, {self.hold.attempt: stored})

    def _stored(self, content: bytes) -> StoredObject:
        """Store bytes."""
        file = self.folder / hashlib.sha256(content).hexdigest()
        file.write_bytes(content)
        return self.api.context.store.put_file(file)

    def file(
        self,
        name: str,
        kind: ArtifactKind,
        content: bytes = b"content",
        *,
        epoch: int | None = None,
        checks: Mapping[str, JsonValue] | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        """Store a file of the job."""
        stored = self._stored(content)
        with self.api.database.write() as unit:
            insert_artifact(
                unit.session,
                self.hold.job_id,
                stored,
                attempt=self.hold.attempt,
                kind=kind,
                name=name,
                epoch=epoch,
                checks=checks,
                size=size,
            )

    def plot(self, name: str, preview: bytes = JPEG) -> None:
        """Store a plot and its preview."""
        self.file(name, ArtifactKind.PLOT, name.encode())
        self.file(preview_name(name), ArtifactKind.PREVIEW, preview, size=(520, 390))

    def validation(
        self,
        previews: Mapping[int, PreviewContent] | None = None,
        *,
        curves: Curves = VALIDATED,
        worst: WorstImages = WORST,
    ) -> None:
        """Store what the final validation showed."""
        packed = gzip.compress(curves.model_dump_json().encode())
        self.file(CURVES, ArtifactKind.VALIDATION, packed)
        bundle = self.folder / "bundle"
        with bundle.open("wb") as file:
            write_bundle(file, worst, previews or {0: PreviewContent(JPEG, 64, 48)})
        self.file(WORST_IMAGES, ArtifactKind.VALIDATION, bundle.read_bytes())

    def end(self, event: JobEvent, reason: EndReason, **columns: Any) -> None:  # noqa: ANN401
        """End the attempt; `columns` are further fields of its `AttemptEnd`."""
        with self.api.database.write() as unit:
            job = lock_held(unit.session, self.hold)
            apply_event(unit.session, job, event, AttemptEnd(reason, **columns))

    def again(self, *, after: int, epochs: int = 4) -> None:
        """Claim the job again, which continues exactly after an epoch."""
        self.hold = claim(self.api, self.queue)
        with self.api.database.write() as unit:
            note_resumed(unit.session, self.hold, "exact", after)
            trim_epochs_after(
                unit.session,
                self.hold,
                after,
                best_epoch=after,
                deciding=DecidingMetric(F1, (F1,)),
            )
            log_event(unit.session, self.hold, "resume.exact", data={"epoch": after})
        self.start(first_epoch=after + 1, epochs=epochs)


def claim(api: Api, queue: str) -> Hold:
    """Claim the next job of a queue."""
    offer = SlotOffer("wrk_pages", (queue,), gpus=0)
    with api.database.write() as unit:
        job = claim_job(unit.session, offer, lease=LEASE)
    assert job is not None
    return Hold(job.id, job.attempt)


def a_training(api: Api, folder: Path, **changes: Any) -> Training:  # noqa: ANN401
    """Submit a job with customizations, changed as given, and claim it.

    Unless `changes` give a queue, it has one of its own, so that no job which another test requeued
    is claimed in its place.
    """
    resources = {"queue": f"pages-{next(NUMBERS)}"} | changes.pop("resources", {})
    queue = resources["queue"]
    api.submit(**(CUSTOMIZED | changes), resources=resources)
    return Training(api, folder, queue, claim(api, queue))


def a_succeeded_job(api: Api, folder: Path, **changes: Any) -> Training:  # noqa: ANN401
    """Make a job that trained four epochs in two attempts, with all files and pictures."""
    training = a_training(api, folder, **changes)
    training.start()
    training.progress(1, 4, 5, None)
    for number in (1, 2, 3):
        training.epoch(number)
    training.store_log()
    training.end(JobEvent.INTERRUPT, EndReason.WORKER_LOST, message="The worker was lost.")
    training.again(after=2)
    training.event(
        "trainer.notice", code="layers_unfrozen", message="Layers 0 to 10 learn from here on."
    )
    training.event(
        "trainer.warning",
        Level.WARNING,
        code="metric_not_finite",
        message="metrics/recall(B) is NaN.",
    )
    training.progress(3, 4, 5, None)
    for number in (3, 4):
        training.epoch(number)
    training.store_log()
    training.file("best.pt", ArtifactKind.WEIGHTS, b"best", epoch=4, checks=CHECKS)
    training.file("last.pt", ArtifactKind.WEIGHTS, b"last", epoch=4)
    training.file("results.csv", ArtifactKind.TABLE, b"epoch\n1\n")
    training.file("args.yaml", ArtifactKind.CONFIG, b"epochs: 4\n")
    for name in ("results.png", "val_batch0_pred.jpg", "train_batch0.jpg"):
        training.plot(name)
    training.validation()
    training.end(JobEvent.FINISH, EndReason.SUCCEEDED, exit_code=0)
    return training


def a_failed_job(api: Api, folder: Path, **changes: Any) -> Training:  # noqa: ANN401
    """Make a job that diverged in its second epoch, with the change that avoids it."""
    training = a_training(api, folder, **changes)
    training.start()
    training.progress(1, 4, 5, None)
    training.epoch(1, f1=0.0)
    training.store_log()
    training.end(
        JobEvent.FAIL,
        EndReason.DIVERGED,
        exit_code=14,
        message="Losses stayed NaN although <b>the last checkpoint</b> was restored.",
        hint="Lower lr0.",
        amended={"train": {"lr0": 0.1}},
        log_line=4,
    )
    return training
