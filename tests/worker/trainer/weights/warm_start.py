"""Report, before a job's first step, which tensors equal those of its initial weights.

The program takes a job file and the weights, and prints one line of JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from worker.trainer.compose import compose_trainer, overrides
from worker.trainer.interrupts import Interrupts
from worker.trainer.protocol import Event, JobFile
from worker.trainer.run import TrainingRun
from worker.trainer.upstream import TaskTrainer


class Silence:
    def emit(self, event: Event) -> None:
        """Discards all events."""


class FirstStepReached(Exception):
    """The trainer is built; no step has been made."""


class StopBeforeTheFirstStep(TaskTrainer):
    def run_callbacks(self, event: str) -> None:
        if event == "on_train_start":
            raise FirstStepReached
        super().run_callbacks(event)


def main(job_file: Path, weights: Path) -> None:
    job = JobFile.model_validate_json(job_file.read_bytes())
    composed = compose_trainer(TrainingRun(job, Silence(), Interrupts()))
    trainer: Any = type("Stopped", (StopBeforeTheFirstStep, composed), {})(overrides=overrides(job))
    try:
        trainer.train()
    except FirstStepReached:
        source = torch.load(weights, weights_only=False)["model"].float().state_dict()
        sys.stdout.write("\n" + json.dumps(compare(source, trainer.model.state_dict())) + "\n")


def compare(source: dict[str, Any], started: dict[str, Any]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {"equal": [], "changed": [], "reshaped": []}
    for name, tensor in source.items():
        if started[name].shape != tensor.shape:
            groups["reshaped"].append(name)
        else:
            groups["equal" if torch.equal(started[name], tensor) else "changed"].append(name)
    return groups


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
