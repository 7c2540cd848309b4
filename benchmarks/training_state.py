"""Measure the cost of a training state: `python benchmarks/training_state.py`.

Trains each model for some epochs on drawn shapes, with the trainer of jobs. Prints bytes, and
milliseconds as medians of five. *Snapshot* is what the training waits for at the end of each epoch:
to read its state and copy it into memory; beside it is its share of an epoch of ten seconds, which
has a budget. *First* is the same for the first snapshot of a job, which also allocates the memory.
The rest happens while the training goes on: to write a state, to hash it, which the worker does,
and to read it on a resume. After an odd number of epochs gradients wait for their step, as after
most epochs of a training; a state is largest then.
"""

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.worker.trainer.drawn_datasets import draw_dataset
from tests.worker.trainer.jobs import a_job
from worker.trainer.environment import trainer_environment

EPOCH_SECONDS = 10.0
BUDGET = 0.01
"""The largest share of an epoch that a snapshot may take."""
MODELS = ("yolo26n.yaml", "yolo11m.yaml")
COLUMNS = (
    "model",
    "optimizer",
    "MB",
    "memory MB",
    "snapshot ms",
    f"of {EPOCH_SECONDS:g} s, budget {BUDGET:.0%}",
    "first ms",
    "write ms",
    "hash ms",
    "read ms",
    "last.pt MB",
)
OPTIMIZERS = ("SGD", "AdamW", "MuSGD")


def main() -> None:
    """Measure every model with every optimizer and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--optimizers", nargs="+", default=list(OPTIMIZERS))
    parser.add_argument("--epochs", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trainyard-state-") as name:
        os.environ.update(trainer_environment(Path(name), gpu=None, base=os.environ))
        os.environ["YOLO_VERBOSE"] = "false"
        dataset = draw_dataset(Path(name), "detect")
        print(f"| {' | '.join(COLUMNS)} |")
        print(f"| {' | '.join('---' for _ in COLUMNS)} |")
        for model in asked.models:
            for optimizer in asked.optimizers:
                place = Path(name) / f"{model}-{optimizer}"
                print(row(dataset, place, model, optimizer, asked.epochs), flush=True)


def row(dataset: Path, place: Path, model: str, optimizer: str, epochs: int) -> str:
    """Train once and return a row of the table."""
    # Import late: Ultralytics reads the environment above on import.
    from tests.worker.trainer.customizations.in_process import train_here  # noqa: PLC0415
    from worker.trainer.protocol import ArchitectureSource  # noqa: PLC0415
    from worker.trainer.state.file import read_state, write_state  # noqa: PLC0415
    from worker.trainer.state.memory import SnapshotMemory  # noqa: PLC0415
    from worker.trainer.state.parts import parts_of  # noqa: PLC0415

    job = a_job(
        dataset,
        place,
        train={"epochs": epochs, "optimizer": optimizer, "nbs": 8},
        model=ArchitectureSource(name=model),
        facts={"architecture": model},
    )
    trained = train_here(job)
    trainer, memory = trained.trainer, SnapshotMemory()
    state = trained.directory / trained.of("checkpoint")[-1].files["state.pt"]
    heading, _ = read_state(state)
    first = _milliseconds(lambda: memory.copy_of(parts_of(trainer)), times=1)
    snapshot = _milliseconds(lambda: memory.copy_of(parts_of(trainer)))
    copied, again = memory.copy_of(parts_of(trainer)), Path(place) / "again.pt"
    share = snapshot / 1000 / EPOCH_SECONDS
    figures = [
        f"{memory.size / 1e6:.1f}",
        f"{snapshot:.0f}",
        f"{share:.2%}: {'kept' if share <= BUDGET else 'MISSED'}",
        f"{first:.0f}",
        f"{_milliseconds(lambda: write_state(again, heading, copied)):.0f}",
        f"{_milliseconds(lambda: hashlib.sha256(state.read_bytes())):.0f}",
        f"{_milliseconds(lambda: read_state(state)):.0f}",
    ]
    size, of_last = (
        f"{file.stat().st_size / 1e6:.1f}" for file in (state, trainer.wdir / "last.pt")
    )
    return " | ".join(["", model, optimizer, size, *figures, of_last, ""]).strip()


def _milliseconds(act: Callable[[], object], times: int = 5) -> float:
    """Return the median duration of several calls."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - began)
    return median(seconds) * 1000


if __name__ == "__main__":
    main()
