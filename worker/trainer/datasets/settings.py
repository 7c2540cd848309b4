"""What a scan of a dataset of Ultralytics depends on besides the files."""

import json

from ultralytics.data.dataset import ClassificationDataset, DepthDataset, SemanticDataset

from worker.trainer.datasets.rows import Kind, Settings
from worker.trainer.upstream import Untyped


def settings_of(dataset: Untyped) -> Settings:
    """Return the settings of a dataset, the arguments of its `verify_args` without files.

    Ultralytics hashes the same values (8.4.190, data/dataset.py:179, 496, 988).
    """
    if isinstance(dataset, ClassificationDataset):
        return _settings("classes", [])
    data = dataset.data
    if isinstance(dataset, DepthDataset):
        return _settings("depth", [data.get("depth_scale", 1000)])
    if isinstance(dataset, SemanticDataset) and data.get("masks_dir"):
        mapping = sorted(dataset.label_mapping.items())
        return _settings("masks", [mapping, len(data["names"])])
    classes = data.get("bg_class_idx") or len(data["names"])
    arguments = [dataset.use_keypoints, classes, data.get("kpt_shape"), dataset.single_cls]
    return _settings("labels", arguments)


def _settings(kind: Kind, arguments: list[object]) -> Settings:
    return Settings(kind, json.dumps(arguments))
