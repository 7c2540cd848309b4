"""After the last epoch: strip the weights, evaluate best.pt, and list the artifacts.

What the evaluation shows is recorded from the same pass over the validation images. All of it works
on copies in `final/`, so a kill at any point is harmless: finalizing can run again.
"""

import json
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import yaml

from app.artifacts.names import BEST, LAST, RESULTS, ArtifactKind
from app.jobs.states import Phase
from worker.trainer.events import finite
from worker.trainer.mixins.checkpoints import portable_values
from worker.trainer.protocol import (
    Artifact,
    FinalEvent,
    PhaseEvent,
    TrainedKind,
    WarningEvent,
)
from worker.trainer.run import TrainerMixin
from worker.trainer.upstream import Untyped, epoch_of_checkpoint, log_line
from worker.trainer.validation.record import ValidationRecord

FINAL: Final = "final"
CURVES_FILE: Final = "curves.json"
WORST_FILE: Final = "worst_images.json"


class Finalizing(TrainerMixin):
    """Ultralytics' final evaluation on copies of the checkpoints, and the final event.

    Overrides `final_eval` (around super) and `hook_after_training` (after super). `strip_optimizer`
    rewrites in place; the files in weights/ and outbox/ share their bytes, and the copies keep them
    resumable.
    """

    __epochs: Mapping[str, int] = MappingProxyType({})
    __recorded: Mapping[str, str] = MappingProxyType({})

    def final_eval(self) -> None:
        """Begin the final phase, on copies of last.pt and best.pt for Ultralytics to strip."""
        self.run.pipe.emit(PhaseEvent(phase=Phase.FINALIZING, epochs_done=self.epoch + 1))
        self.finalizing = True
        # Read them now: stripping removes the epoch.
        self.__epochs = {file.name: epoch_of_checkpoint(file) for file in _weights_in(self.wdir)}
        folder = _empty_folder(Path(self.save_dir) / FINAL)
        self.last, self.best = _copied(self.last, folder), _copied(self.best, folder)
        record = ValidationRecord(
            self.run.job.task,
            classes=int(self.data.get("bg_class_idx") or len(self.data["names"])),
            dataset=self.run.job.dataset_path,
            warn=self.__warn,
        )
        with record.watching(self.validator):
            super().final_eval()
        if self.best.exists():
            self.__recorded = dict(self.__written(record, folder))

    def hook_after_training(self) -> None:
        """Wait for the plots, write args.yaml, and report the final metrics and all artifacts."""
        super().hook_after_training()
        wait_for_plots()
        self.__write_arguments()
        best = self.best_fitness
        self.run.pipe.emit(
            FinalEvent(
                epochs_done=self.epoch + 1,
                best_epoch=self.__epochs.get(BEST),
                best_fitness=None if best is None else finite({"": float(best)})[""],
                metrics=finite({name: float(value) for name, value in self.metrics.items()}),
                artifacts=artifacts_in(Path(self.save_dir), self.__epochs),
                curves=self.__recorded.get(CURVES_FILE),
                worst_images=self.__recorded.get(WORST_FILE),
            )
        )

    def __written(self, record: ValidationRecord, folder: Path) -> Iterator[tuple[str, str]]:
        """Write what was recorded; yield each file's name, and its path in the run directory."""
        found = {
            CURVES_FILE: record.curves(self.validator),
            WORST_FILE: record.worst_images(self.__order_of_images),
        }
        for name, content in found.items():
            if content is not None:
                text = json.dumps(content, separators=(",", ":"))
                (folder / name).write_text(text, encoding="utf-8")
                yield name, f"{FINAL}/{name}"

    def __order_of_images(self) -> Sequence[str] | None:
        """Return the files of the last validation, for a task whose batches do not name them."""
        if self.recorded_val_loader is None:  # of a plugin
            return None
        dataset: Untyped = self.test_loader.dataset
        return [dataset.samples[number][0] for number in self.recorded_val_loader.last_pass()]

    def __warn(self, error: Exception) -> None:
        log_line(f"WARNING The final validation could not be recorded: {error!r:.500}")
        message = (
            "Curves and worst images of the final validation could not be recorded: "
            f"{type(error).__name__}."
        )
        self.run.pipe.emit(WarningEvent(code="validation_not_recorded", message=message))

    def __write_arguments(self) -> None:
        args = vars(self.args) | portable_values(vars(self.args), self.run.job.model.name)
        file = Path(self.save_dir) / FINAL / "args.yaml"
        file.write_text(yaml.safe_dump(args, sort_keys=False), encoding="utf-8")


def artifacts_in(run_directory: Path, epochs: Mapping[str, int]) -> list[Artifact]:
    """Return the artifacts of a finished run, weights first.

    Args:
        run_directory: The job's run directory.
        epochs: The epoch of each weights file, by file name.
    """
    return [
        *[
            Artifact(
                name=file.name,
                path=str(file.relative_to(run_directory)),
                kind=ArtifactKind.WEIGHTS,
                epoch=epochs.get(file.name),
            )
            for file in _weights_in(run_directory / FINAL)
        ],
        *_found(run_directory, RESULTS, kind=ArtifactKind.TABLE),
        *_found(run_directory, f"{FINAL}/args.yaml", kind=ArtifactKind.CONFIG),
        *_found(run_directory, "*.png", kind=ArtifactKind.PLOT),
        *_found(run_directory, "*.jpg", kind=ArtifactKind.PLOT),
    ]


def wait_for_plots() -> None:
    """Wait for Ultralytics' plotting threads, its only threads that are not daemons."""
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()


def _weights_in(folder: Path) -> list[Path]:
    """Return the checkpoints that are kept: best.pt, last.pt, then those of `keep_best`."""
    named = [folder / BEST, folder / LAST, *sorted(folder.glob("best_*.pt"))]
    return [file for file in named if file.exists()]


def _found(directory: Path, pattern: str, *, kind: TrainedKind) -> list[Artifact]:
    return [
        Artifact(name=file.name, path=str(file.relative_to(directory)), kind=kind)
        for file in sorted(directory.glob(pattern))
    ]


def _empty_folder(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _copied(file: Path, folder: Path) -> Path:
    target = folder / file.name
    if file.exists():
        shutil.copyfile(file, target)
    return target
