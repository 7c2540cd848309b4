"""Ultralytics' defaults of the arguments that a spec's `train` does not have.

A file such as args.yaml lists them all; only a value that differs says something. A contract test
compares them with `ultralytics/cfg/default.yaml` (8.4.190).
"""

from types import MappingProxyType
from typing import Final

from app.jobs.spec.refused_arguments import REFUSED_ARGUMENTS

_SET: Final = {
    **dict.fromkeys(
        ("save", "val", "verbose", "pretrained", "show_labels", "show_conf", "show_boxes"), True
    ),
    **dict.fromkeys(
        (
            *("exist_ok", "resume", "profile", "compile", "save_json", "augment", "dnn"),
            *("stream_buffer", "visualize", "retina_masks", "show", "save_frames", "save_txt"),
            *("save_conf", "save_crop", "optimize", "dynamic"),
        ),
        False,
    ),
    "mode": "train",
    "task": "detect",
    "simplify": True,
    "workers": 8,
    "save_period": -1,
    "vid_stride": 1,
    "cls_pw": 0.0,
    "dis": 6.0,
    "format": "torchscript",
    "tracker": "tracktrack.yaml",
}

OTHER_DEFAULTS: Final = MappingProxyType({**dict.fromkeys(REFUSED_ARGUMENTS), **_SET})
"""By name; null where Ultralytics has no value of its own."""
