"""Ultralytics' arguments that `train` refuses: a stable code, and the reason or the alternative."""

from collections.abc import Mapping
from typing import Final

from app.jobs.spec.base_model import Refusal

_SERVICE_OWNED: Final = {
    "task": 'The task is a field of the spec itself: set "task" beside "train".',
    "mode": "A job always trains.",
    "model": 'The model is a field of the spec itself: set "model" beside "train".',
    "pretrained": 'The "model" decides this: a ".pt" starts from weights, a ".yaml" from scratch.',
    "data": 'The dataset is a field of the spec itself: set "dataset" beside "train".',
    "device": 'The service chooses the device: set "resources" beside "train".',
    "project": "The service chooses where files go; a job's project is the spec's \"project\".",
    "name": "The service chooses where files go; a job's name is the spec's \"name\".",
    "save_dir": "The service chooses where files go.",
    "exist_ok": "Every attempt gets its own directory.",
    "resume": "The service resumes jobs itself; use the job's resume or retry route.",
    "cfg": "Arguments are fields of this object, not a file.",
    "save": "Checkpoints are always saved: a job cannot be resumed without them.",
    "val": "Every epoch is validated: the best epoch is not known without validation.",
    "verbose": "The service writes the log.",
}

_ELSEWHERE: Final = {
    "freeze": 'Set "customize.freeze" instead.',
    "cls_pw": 'Set "customize.class_weights" with mode "balanced" instead.',
    "workers": 'Set "loader_workers" instead: workers are the machines that run jobs.',
}

_PREDICT: Final = "It belongs to prediction, not to training."
_EXPORT: Final = "It belongs to export, not to training."
_TRACK: Final = "It belongs to tracking, not to training."
_TEACHER: Final = "Distillation from a teacher model is not offered."

_NOT_OFFERED: Final = {
    "save_period": "The service keeps the last and the best checkpoint only.",
    "profile": "It profiles exported models and would install more packages.",
    "compile": "Compiling the model needs a compiler on the worker and is not offered.",
    "quantize": "Quantization-aware training would install more packages and is not offered.",
    "distill_model": _TEACHER,
    "dis": _TEACHER,
    "augmentations": "Augmentations given as code are not offered; see the fields of this object.",
    "save_json": "It would install more packages; the job has its own metrics.",
    "augment": "Test-time augmentation during validation is not offered.",
    "classes": "Training on some classes only is not offered: leave them out of the dataset.",
    "dnn": _PREDICT,
    "source": _PREDICT,
    "vid_stride": _PREDICT,
    "stream_buffer": _PREDICT,
    "visualize": _PREDICT,
    "retina_masks": _PREDICT,
    "embed": _PREDICT,
    "show": _PREDICT,
    "save_frames": _PREDICT,
    "save_txt": _PREDICT,
    "save_conf": _PREDICT,
    "save_crop": _PREDICT,
    "show_labels": _PREDICT,
    "show_conf": _PREDICT,
    "show_boxes": _PREDICT,
    "line_width": _PREDICT,
    "format": _EXPORT,
    "optimize": _EXPORT,
    "dynamic": _EXPORT,
    "simplify": _EXPORT,
    "opset": _EXPORT,
    "workspace": _EXPORT,
    "tracker": _TRACK,
}

REFUSED_ARGUMENTS: Final[Mapping[str, Refusal]] = {
    **{name: Refusal("service_owned", message) for name, message in _SERVICE_OWNED.items()},
    **{name: Refusal("set_elsewhere", message) for name, message in _ELSEWHERE.items()},
    **{name: Refusal("not_offered", message) for name, message in _NOT_OFFERED.items()},
}

MEANT_AS: Final[Mapping[str, str]] = {
    "lr": "lr0",
    "learning_rate": "lr0",
    "final_lr": "lrf",
    "batch_size": "batch",
    "batchsize": "batch",
    "image_size": "imgsz",
    "img_size": "imgsz",
    "img": "imgsz",
    "size": "imgsz",
    "num_epochs": "epochs",
    "num_workers": "loader_workers",
    "early_stopping": "patience",
    "random_seed": "seed",
    "mixed_precision": "amp",
}
