"""Plain Ultralytics in a separate process, where Trainyard cannot be imported.

`python plain.py train REQUEST.json` trains with the task's own trainer class; `val` and `load` use
only the downloaded weights, as their user would. The last line on stdout is the answer as JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any


class _NoTrainyard:
    """Refuses to import this repository's packages, which an editable install would find."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] in {"app", "worker"}:
            raise ModuleNotFoundError(name)


def train(request: dict[str, Any]) -> dict[str, Any]:
    from ultralytics.models import YOLO, yolo

    trainers = {
        "detect": yolo.detect.DetectionTrainer,
        "segment": yolo.segment.SegmentationTrainer,
        "pose": yolo.pose.PoseTrainer,
        "obb": yolo.obb.OBBTrainer,
        "classify": yolo.classify.ClassificationTrainer,
        "semantic": YOLO("yolo26n-sem.yaml").task_map["semantic"]["trainer"],
        "depth": YOLO("yolo26n-depth.yaml").task_map["depth"]["trainer"],
    }
    trainer = trainers[request["task"]](overrides=request["overrides"])
    trainer.train()
    return {"save_dir": str(trainer.save_dir)}


def val(request: dict[str, Any]) -> dict[str, Any]:
    from ultralytics.models import YOLO

    metrics = YOLO(request["weights"]).val(**request["arguments"])
    return {
        "names": list(metrics.names.values()),
        "classes": [int(index) for index in metrics.box.ap_class_index],
        "ap50": [float(value) for value in metrics.box.ap50],
    }


def load(request: dict[str, Any]) -> dict[str, Any]:
    from ultralytics.models import YOLO

    model = YOLO(request["weights"])
    return {"task": model.task, "names": list(model.names.values())}


def digests(request: dict[str, Any]) -> dict[str, Any]:
    """Return a digest of every tensor of the weights in each file."""
    import hashlib

    from ultralytics.nn.tasks import load_checkpoint

    answer = {}
    for path in request["weights"]:
        model, _ = load_checkpoint(path)  # type: ignore[no-untyped-call] # Ultralytics is untyped
        state = model.float().state_dict()
        answer[path] = {
            name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
            for name, tensor in state.items()
        }
    return answer


if __name__ == "__main__":
    sys.meta_path.insert(0, _NoTrainyard())
    for package in ("app", "worker"):
        try:
            __import__(package)
        except ModuleNotFoundError:
            continue
        sys.exit(f"{package} can be imported here")
    verb, request_file = sys.argv[1:]
    asked = json.loads(Path(request_file).read_text())
    sys.stdout.write("\n" + json.dumps(globals()[verb](asked)) + "\n")
