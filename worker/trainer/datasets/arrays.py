"""Decodes the images of a dataset as Ultralytics does, and writes the arrays of `cache: "disk"`."""

import hashlib
import io
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from ultralytics.data.dataset import ClassificationDataset
from ultralytics.data.utils import IMG_FORMATS, check_det_dataset
from ultralytics.utils.patches import imread

from app.core.files import whole_file
from app.core.tasks import Task
from worker.trainer.datasets.requests import ArraysReport
from worker.trainer.datasets.rows import Array
from worker.trainer.upstream import scan_threads

FLAGS: Final = {1: cv2.IMREAD_GRAYSCALE, 3: cv2.IMREAD_COLOR}
"""How images are read, by their number of channels (8.4.190, data/base.py:163)."""
READ_ONLY: Final = 0o444


def write_arrays(folder: Path, task: Task) -> ArraysReport:
    """Write the array of each image beside it, with the bytes that Ultralytics would write.

    Args:
        folder: The dataset's folder, resolved; its files are not changed.
        task: The task of the training.
    """
    channels = 3 if task == "classify" else int(check_det_dataset(folder / "data.yaml")["channels"])
    images = sorted(path for path in folder.rglob("*.*") if _is_image(path, folder, task))
    digest, arrays, size = hashlib.sha256(), 0, 0
    with ThreadPool(scan_threads()) as pool:
        written = pool.imap(lambda image: _write_array(image, task, channels), images)
        for image, content in zip(images, written, strict=True):
            if content is None:
                continue
            digest.update(f"{image.relative_to(folder)}\0{content[0]}\n".encode())
            arrays, size = arrays + 1, size + content[1]
    return ArraysReport(sha256=digest.hexdigest(), arrays=arrays, array_bytes=size)


def _is_image(path: Path, folder: Path, task: Task) -> bool:
    below = path.relative_to(folder).parts[0]
    return path.suffix[1:].lower() in IMG_FORMATS and (task == "classify" or below == "images")


def _write_array(image: Path, task: Task, channels: int) -> tuple[str, int] | None:
    """Write one array; return the SHA-256 and size of its file, or None if there is none."""
    read = _decoded(str(image), task, channels)
    if read is None:
        return None
    content = io.BytesIO()
    np.save(content, read, allow_pickle=False)
    with whole_file(image.with_suffix(".npy"), mode=READ_ONLY, durable=False) as file:
        file.write(content.getbuffer())
    return hashlib.sha256(content.getbuffer()).hexdigest(), content.getbuffer().nbytes


def _decoded(image: str, task: Task, channels: int) -> Array | None:
    if task == "classify":
        return ClassificationDataset.imread(image)
    read = imread(image, flags=FLAGS.get(channels, cv2.IMREAD_UNCHANGED))
    # Ultralytics replaces an array of other channels again and again (data/base.py:281).
    return read if read is not None and read.shape[-1] == channels else None
