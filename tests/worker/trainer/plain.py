"""The same training without Trainyard, in a separate process, as a careful user would write it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from app.core.tasks import Task
from worker.trainer.environment import trainer_environment
from worker.trainer.protocol import JobFile

_TRAINERS: dict[Task, str] = {
    "detect": "detect.DetectionTrainer",
    "segment": "segment.SegmentationTrainer",
    "pose": "pose.PoseTrainer",
    "obb": "obb.OBBTrainer",
    "classify": "classify.ClassificationTrainer",
    "semantic": "semantic.SemanticSegmentationTrainer",
    "depth": "depth.DepthTrainer",
}

_PROGRAM = """
import json, operator, sys
from ultralytics.models import yolo

for name, arguments in json.loads(sys.argv[1]):
    operator.attrgetter(name)(yolo)(overrides=arguments).train()
"""


def train_plainly(jobs: Sequence[JobFile], directory: Path, **changes: object) -> list[Path]:
    """Train each job with plain Ultralytics, in order, and return the run directories."""
    directory.mkdir(parents=True, exist_ok=True)
    places = [directory / f"run-{number}" for number in range(len(jobs))]
    calls = [
        (_TRAINERS[job.task], _arguments(job, place) | changes)
        for job, place in zip(jobs, places, strict=True)
    ]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps(calls)],
        cwd=directory,
        env=trainer_environment(directory, gpu=None, base=os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return places


def _arguments(job: JobFile, place: Path) -> dict[str, object]:
    data = job.dataset_path if job.task == "classify" else job.dataset_path / "data.yaml"
    return job.spec.train.to_ultralytics() | {
        "model": job.model.name,
        "data": str(data),
        "save_dir": str(place),
        "device": "cpu",
    }
