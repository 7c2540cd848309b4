"""Measure the cost of a training state: `python benchmarks/training_state.py`.

Trains each model for some epochs on drawn shapes, with the trainer of jobs. Prints bytes, and
milliseconds as medians of five: to capture and write a state, to hash it, which the worker does,
and to read it. After an odd number of epochs gradients wait for their step,
as after most epochs of a training; a state is largest then.
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

MODELS = ("yolo26n.yaml", "yolo11m.yaml")
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
        print("| model | optimizer | MB | write ms | hash ms | read ms | last.pt MB |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
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
    from worker.trainer.state.parts import parts_of  # noqa: PLC0415

    job = a_job(
        dataset,
        place,
        train={"epochs": epochs, "optimizer": optimizer, "nbs": 8},
        model=ArchitectureSource(name=model),
        facts={"architecture": model},
    )
    trainer = train_here(job).trainer
    state, last = trainer.wdir / "state.pt", trainer.wdir / "last.pt"
    heading, _ = read_state(state)
    again = Path(place) / "again.pt"
    figures = [
        _milliseconds(lambda: write_state(again, heading, parts_of(trainer))),
        _milliseconds(lambda: hashlib.sha256(state.read_bytes())),
        _milliseconds(lambda: read_state(state)),
    ]
    size, of_last = (f"{file.stat().st_size / 1e6:.1f}" for file in (state, last))
    return " | ".join(["", model, optimizer, size, *figures, of_last, ""]).strip()


def _milliseconds(act: Callable[[], object], times: int = 5) -> str:
    """Return the median duration of several calls."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - began)
    return f"{median(seconds) * 1000:.0f}"


if __name__ == "__main__":
    main()
