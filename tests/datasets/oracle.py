"""The verdict of the installed Ultralytics on a file, from a separate process.

Importing Ultralytics replaces `PIL.Image.open` for the whole process, so the
tests never import it in their own process.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
from ultralytics.data import utils

def labels(image, label, keypoint, classes, points, dims):
    result = utils.verify_image_label((image, label, "", keypoint, classes, points, dims, False))
    if result[0] is None:
        return {"good": False, "message": result[-1]}
    return {"good": True, "rows": len(result[1]), "boxes": result[1].tolist()}

def label_texts(image, label, keypoint, classes, points, dims, texts):
    verdicts = []
    for text in texts:
        with open(label, "w", newline="") as file:
            file.write(text)
        verdicts.append(labels(image, label, keypoint, classes, points, dims))
    return {"verdicts": verdicts}

def image(path):
    try:
        message, shape = utils.check_image(path)
    except Exception as error:
        return {"good": False, "message": str(error)}
    return {"good": True, "shape": list(shape), "message": message}

def pictures(paths, channels, for_classes):
    import cv2
    from ultralytics.data.dataset import ClassificationDataset
    from ultralytics.utils.patches import imread
    flags = {1: cv2.IMREAD_GRAYSCALE, 3: cv2.IMREAD_COLOR}.get(channels, cv2.IMREAD_UNCHANGED)
    verdicts = []
    for path in paths:
        said = image(path)
        try:
            read = ClassificationDataset.imread(path) if for_classes else imread(path, flags)
        except cv2.error:
            read = None
        trains = read is not None and str(read.dtype) == "uint8" and read.shape[2] == channels
        verdicts.append({**said, "read": list(read.shape[:2]) if trains else None})
    return {"verdicts": verdicts}

def counts_agree(task, boxes, segments):
    from ultralytics.data.dataset import PolygonSemanticDataset, YOLODataset
    kind = PolygonSemanticDataset if task == "semantic" else YOLODataset
    dataset = kind.__new__(kind)
    dataset.use_segments, dataset.use_obb = task == "segment", task == "obb"
    label = {"cls": [0] * boxes, "bboxes": [0] * boxes, "segments": [0] * segments}
    try:
        dataset.verify_labels([label], "a.cache")
    except ValueError as error:
        return {"message": str(error)}
    return {"message": ""}

def box_loss(width, side):
    import torch
    from ultralytics.utils.metrics import bbox_iou
    from ultralytics.utils.ops import xywh2xyxy
    target = xywh2xyxy(torch.tensor([[0.5, 0.5, float(width), 0.2]]) * side)
    found = torch.tensor([[10.0, 10.0, 50.0, 50.0]])
    return {"is_finite": bool(bbox_iou(found, target, xywh=False, CIoU=True).isfinite().all())}

def mask(image, mask, classes):
    invalid = np.arange(256, dtype=np.uint8)
    invalid = ((invalid > max(classes - 1, 1)) & (invalid != 255)).astype(np.uint8)
    result = utils.verify_image_mask((image, mask, "", invalid))
    return {"good": result[0] is not None, "message": result[-1]}

def depth(image, depth, scale):
    result = utils.verify_image_depth((image, depth, "", scale))
    return {"good": result[0] is not None, "message": result[-1]}

def dataset(view, task):
    from ultralytics.cfg import get_cfg
    from ultralytics.data.build import build_yolo_dataset
    from ultralytics.data.dataset import ClassificationDataset
    args = get_cfg(overrides={"task": task, "imgsz": 64})
    if task == "classify":
        found = utils.check_cls_dataset(view)
        samples = ClassificationDataset(str(found["train"]), args, names=found["names"]).samples
        return {"names": found["names"], "files": [str(s[0]) for s in samples]}
    found = utils.check_det_dataset(view)
    built = build_yolo_dataset(args, found["train"], 4, found)
    sample = built[0]
    boxes = [label["bboxes"].tolist() for label in built.labels]
    files, keys = built.im_files, sorted(sample)
    return {"names": found["names"], "files": files, "boxes": boxes, "keys": keys}

def train(task, model, data, folder, arguments):
    from ultralytics import YOLO
    trainer = YOLO.task_map.fget(None)[task]["trainer"](overrides={
        "model": model, "data": data, "project": folder, "name": "run", "device": "cpu",
        "workers": 0, "plots": False, "amp": False, **arguments,
    })
    trainer.train()
    head, *rows = Path(folder, "run", "results.csv").read_text().splitlines()
    loaders = {"train": trainer.train_loader, "val": trainer.test_loader}
    return {
        "images": {split: len(loader.dataset) for split, loader in loaders.items()},
        "epochs": [dict(zip(head.split(","), map(float, row.split(",")))) for row in rows],
    }

def coco(annotations, output, outlines, keypoints):
    from ultralytics.data.converter import convert_coco
    convert_coco(annotations, output, outlines, keypoints, cls91to80=False)
    return {path.stem: path.read_text() for path in Path(output).rglob("*.txt")}

sys.stdout.write("\\n")
for line in sys.stdin:
    name, *arguments = json.loads(line)
    said = json.dumps(globals()[name](*arguments))
    sys.stdout.write("ANSWER " + said + "\\n")
    sys.stdout.flush()
"""


class Oracle:
    """Queries the installed Ultralytics in a separate process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, name: str, *arguments: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, *arguments], default=str) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("ANSWER "):
                answer: dict[str, Any] = json.loads(line.removeprefix("ANSWER "))
                return answer
        raise AssertionError("the oracle died")


@contextmanager
def an_oracle(home: Path) -> Iterator[Oracle]:
    environment = {
        **os.environ,
        "YOLO_OFFLINE": "true",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_VERBOSE": "false",
        "YOLO_CONFIG_DIR": str(home),
        "OMP_NUM_THREADS": "1",
    }
    with (
        (home / "errors.txt").open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        ) as process,
    ):
        try:
            yield Oracle(process)
        finally:
            process.terminate()
