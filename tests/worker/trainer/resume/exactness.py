"""Comparison of two runs of one job, down to each batch."""

import csv
import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch

from tests.worker.trainer.customizations.in_process import differing_tensors
from worker.trainer.run import TrainerMixin

Trace: TypeAlias = dict[int, tuple[object, ...]]


class Traced(TrainerMixin):
    """Records images, labels, loss, rates and EMA updates of each batch, by epoch and number."""

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.trace: Trace = {}
        self.seen = ("", "")
        super().__init__(overrides=overrides)

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch = super().preprocess_batch(batch)
        self.seen = (digest(batch["img"]), digest(*labels_in(batch)))
        return batch

    def run_callbacks(self, event: str) -> None:
        super().run_callbacks(event)
        if event == "on_train_batch_end":
            trainer: Any = self
            in_epoch = len([each for each in self.trace if each // 1000 == self.epoch])
            self.trace[1000 * self.epoch + in_epoch] = (
                *self.seen,
                struct.pack("f", float(trainer.loss)).hex(),
                tuple(group["lr"] for group in self.optimizer.param_groups),
                trainer.ema.updates,
            )


def labels_in(batch: Mapping[str, Any]) -> list[torch.Tensor]:
    return [batch[name] for name in sorted(batch) if isinstance(batch[name], torch.Tensor)]


def digest(*tensors: torch.Tensor) -> str:
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().contiguous().cpu().numpy().tobytes())
    return found.hexdigest()[:12]


def first_difference(one: Trace, other: Trace) -> str | None:
    """Return the first shared batch in which two traces differ; None if they agree."""
    for batch in sorted(one.keys() & other.keys()):
        if one[batch] != other[batch]:
            return f"batch {batch % 1000} of epoch {batch // 1000 + 1}: {one[batch]} {other[batch]}"
    return None


def differences(one: Path, other: Path) -> list[str]:
    """Return the rows of results.csv and the tensors that differ between two run directories.

    Training states are left out: an attempt that only finalizes writes none.
    """
    found = [] if rows_of(one) == rows_of(other) else ["results.csv"]
    names = [_weights_in(one), _weights_in(other)]
    found += sorted(names[0] ^ names[1])
    common = sorted(names[0] & names[1])
    return found + [name for name in common if differing_tensors(one / name, other / name)]


def _weights_in(run_directory: Path) -> set[str]:
    folders = (run_directory / "weights", run_directory / "final")
    files = [file for folder in folders for file in folder.glob("*.pt")]
    return {str(file.relative_to(run_directory)) for file in files if file.name != "state.pt"}


def rows_of(run_directory: Path) -> list[dict[str, str]]:
    """Return the rows of results.csv without the elapsed time."""
    with (run_directory / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{name: text for name, text in row.items() if name != "time"} for row in rows]
