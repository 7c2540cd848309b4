"""Jobs that are interrupted, with the epochs after which this happens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from app.core.tasks import Task
from tests.worker.trainer.customizations.in_process import Training, train_here
from tests.worker.trainer.jobs import ARCHITECTURES, a_job
from tests.worker.trainer.resume.exactness import Traced
from worker.trainer.protocol import ArchitectureSource, JobFile
from worker.trainer.run import TrainerMixin


class TwoLoaderWorkers(TrainerMixin):
    """Uses loader workers, which Ultralytics disables on a CPU (trainer.py:179)."""

    def __init__(self, *, overrides: dict[str, object]) -> None:
        super().__init__(overrides=overrides)
        self.args.workers = 2


class OnceNotFinite(TrainerMixin):
    """Spoils the third epoch, which is then repeated from last.pt (trainer.py:1100)."""

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.spoils = True
        super().__init__(overrides=overrides)

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch = super().preprocess_batch(batch)
        if self.epoch == 2 and self.spoils:
            batch["img"] = batch["img"] * float("nan")
        return batch

    def _handle_nan_recovery(self, epoch: int) -> bool:
        repeats = super()._handle_nan_recovery(epoch)
        self.spoils = self.spoils and not repeats
        return repeats


@dataclass(frozen=True)
class Case:
    """A job, of four epochs by default, whose gradient accumulation crosses epochs.

    Args:
        watching: outer classes of the trainer that change its behaviour.
        kills: epochs after which each attempt ends; each continues the previous attempt.
    """

    task: Task = "detect"
    architecture: str | None = None
    train: Mapping[str, object] = field(default_factory=dict)
    customize: Mapping[str, Any] | None = None
    workers: int = 0
    watching: tuple[type[TrainerMixin], ...] = ()
    kills: tuple[int, ...] = (1, 2)


CROSSING: Final = {"epochs": 4, "nbs": 8, "close_mosaic": 1}
"""Two batches of four make a step, and five make an epoch."""
DEFAULTS: Final = {"nbs": 64, "warmup_epochs": 3, "optimizer": "auto", "lr0": None}
RICH: Final = {"mixup": 0.5, "cutmix": 0.3, "bgr": 0.3, "flipud": 0.5}
RICH_TOO: Final = {"degrees": 20.0, "shear": 5.0, "mosaic": 0.7, "multi_scale": 0.5}
SHORT_LAST: Final = {"batch": 3, "nbs": 12}
"""Of eight images six are validated at once, and then two."""
CUSTOMIZED: Final = {
    "metrics": {"f1": True, "per_class": True},
    "class_weights": {"mode": "explicit", "weights": {"triangle": 5.0}},
    "best_model": {"metric": "val/box_loss"},
    "freeze": {"layers": "backbone", "epochs": 2},
    "layer_lrs": [{"layers": "backbone", "factor": 0.25}],
    "keep_best": [{"name": "kept", "metric": "val/cls_loss"}],
}

CASES: Final[dict[str, Case]] = {
    "plain": Case(),
    "workers": Case(workers=2),
    "yolov8n": Case(
        architecture="yolov8n.yaml", train={"optimizer": "AdamW"}, workers=2, kills=(2,)
    ),
    "yolov8n-twice": Case(architecture="yolov8n.yaml", train={"optimizer": "AdamW"}, workers=2),
    "defaults": Case(train=DEFAULTS),
    "defaults-workers": Case(train=DEFAULTS, workers=2),
    "three-a-step": Case(train={"nbs": 12, "optimizer": "MuSGD"}, kills=(1, 2, 3)),
    "rich": Case(train=RICH | RICH_TOO),
    "rich-workers": Case(train=RICH | RICH_TOO, workers=2),
    "cache": Case(train={"cache": True, "batch": 6, "nbs": 12}),
    "cache-workers": Case(train={"cache": True}, workers=2),
    "closed-before": Case(train={"close_mosaic": 3}, kills=(2, 3)),
    "closed-before-workers": Case(train={"close_mosaic": 3}, workers=2, kills=(2, 3)),
    "closing-at-workers": Case(train={"close_mosaic": 2}, workers=2, kills=(2, 3)),
    "never-closed-workers": Case(train={"close_mosaic": 0}, workers=2),
    "rect": Case(train={"rect": True, "mosaic": 0.0}),
    "cosine": Case(train={"cos_lr": True, "warmup_epochs": 2, "optimizer": "AdamW"}),
    "customized": Case(customize=CUSTOMIZED),
    "customized-workers": Case(customize=CUSTOMIZED, workers=2, kills=(2, 3)),
    "balanced": Case(customize={"class_weights": {"mode": "balanced", "power": 0.5}}),
    "patience": Case(task="classify", train={"epochs": 9, "patience": 2, "lr0": 1e-9}),
    "not-finite": Case(train={"nbs": 12}, watching=(OnceNotFinite,), kills=(2, 3)),
    "segment": Case(task="segment", train={"optimizer": "MuSGD", "copy_paste": 0.5}),
    "segment-workers": Case(task="segment", train={"copy_paste": 0.5}, workers=2),
    "pose": Case(task="pose", train={"optimizer": "AdamW"}),
    "pose-workers": Case(task="pose", workers=2),
    "obb": Case(task="obb"),
    "obb-workers": Case(task="obb", workers=2),
    "classify": Case(task="classify", train=SHORT_LAST | {"dropout": 0.3}),
    "classify-workers": Case(task="classify", train=SHORT_LAST | {"dropout": 0.3}, workers=2),
    "semantic": Case(task="semantic"),
    "semantic-workers": Case(task="semantic", workers=2),
    "depth": Case(task="depth"),
    "depth-workers": Case(task="depth", workers=2),
}


def job_of(case: Case, dataset: Path, directory: Path) -> JobFile:
    """Return the job of a case; it writes a state after every epoch."""
    unmeant = {"close_mosaic": None} if case.task in {"classify", "depth"} else {}
    name = case.architecture or ARCHITECTURES[case.task]
    return a_job(
        dataset,
        directory,
        task=case.task,
        train=CROSSING | unmeant | dict(case.train),
        customize=case.customize,
        facts={"architecture": name},
        model=ArchitectureSource(name=name),
        state_every=1,
    )


def trained(job: JobFile, case: Case) -> Training:
    """Train a job of a case: the case's own job, or one that continues it."""
    workers = (TwoLoaderWorkers,) if case.workers else ()
    return train_here(job, watching=(Traced, *workers, *case.watching))
