"""The groups in which pages, docs and the command line show the training arguments."""

from types import MappingProxyType
from typing import Final

GROUPS: Final = MappingProxyType(
    {
        "Schedule": ("epochs", "time", "patience", "seed", "deterministic"),
        "Images and batches": (
            *("batch", "imgsz", "cache", "loader_workers", "fraction"),
            *("rect", "multi_scale", "single_cls"),
        ),
        "Optimizer": (
            *("optimizer", "lr0", "lrf", "cos_lr", "momentum", "weight_decay"),
            *("warmup_epochs", "warmup_momentum", "warmup_bias_lr", "nbs"),
        ),
        "Model and precision": (
            *("cls_remap", "amp", "channels_last", "dropout", "overlap_mask", "mask_ratio"),
        ),
        "Loss": (*("box", "cls", "dfl", "pose", "kobj", "rle", "angle", "dlog", "dgrad", "dlam"),),
        "Augmentation": (
            *("mosaic", "close_mosaic", "mixup", "cutmix", "copy_paste", "copy_paste_mode"),
            *("hsv_h", "hsv_s", "hsv_v", "bgr", "degrees", "translate", "scale", "shear"),
            *("perspective", "flipud", "fliplr", "auto_augment", "erasing"),
        ),
        "Validation": ("split", "conf", "iou", "max_det", "nms", "agnostic_nms", "plots"),
    }
)
"""Each field of `TrainArguments` once, by the title of its group; a test compares them."""
