"""The same training without Trainyard, in a fresh process: what a careful person would write."""

import json
import os
import subprocess
import sys
from pathlib import Path

from app.jobs.spec import Task
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

name, arguments = sys.argv[1:]
operator.attrgetter(name)(yolo)(overrides=json.loads(arguments)).train()
"""


def train_plainly(job: JobFile, directory: Path, **changes: object) -> Path:
    """Train as the job says and return the run directory."""
    directory.mkdir(parents=True, exist_ok=True)
    data = job.dataset_path if job.task == "classify" else job.dataset_path / "data.yaml"
    arguments = job.spec.train.to_ultralytics() | {
        "model": job.model.name,
        "data": str(data),
        "save_dir": str(directory / "run"),
        "device": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, _TRAINERS[job.task], json.dumps(arguments | changes)],
        cwd=directory,
        env=trainer_environment(directory, gpu=None, base=os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return directory / "run"
