"""Every argument that Ultralytics 8.4.190 overrides, ignores or cannot train with, and our answer.

`ROWS` is the only list. docs/job-spec.md shows it, and a contract test compares each row with the
installed package.
"""

from collections.abc import Callable, Iterator
from typing import Final

from app.jobs.spec import override_conditions as when
from app.jobs.spec.override_answers import (
    LEFT_OUT,
    OnlyWarning,
    OtherAnswer,
    Place,
    Refused,
    Row,
    ShownAsItRuns,
    Source,
    Values,
)
from app.jobs.spec.override_conditions import AskedArguments


def _always(**values: object) -> Callable[[AskedArguments], Values]:
    return lambda _: values


def _left_out(*names: str) -> Callable[[AskedArguments], Values]:
    return lambda _: dict.fromkeys(names, LEFT_OUT)


def _of_the_last_batch(asked: AskedArguments) -> Iterator[Place]:
    """Yield every argument that could be changed so that the job can train."""
    yield from (("train", "batch"), ("train", "imgsz"))
    if asked.train.multi_scale:
        yield ("train", "multi_scale")
    if asked.train.fraction != 1:
        yield ("train", "fraction")


_CANNOT_TRAIN: Final = (
    Row(
        ("batch", "imgsz", "multi_scale", "fraction"),
        "With {images} training images in batches of {batch}, the last batch has one image, and "
        "batch normalization cannot train on one image of {side} pixels: change the batch, or keep "
        "every side at 64 pixels or more.",
        Source("engine/trainer.py", 309, "min_imgsz < 2 * self.stride"),
        Refused("final_batch_of_one", lambda asked: tuple(_of_the_last_batch(asked))),
        when.last_batch_has_one_image,
    ),
    Row(
        ("fraction",),
        "None of the {images} training images that are used, the first ones by name, has an "
        "object: use more of them.",
        Source("data/dataset.py", 161, "No labels found in"),
        Refused("only_backgrounds", lambda _: (("train", "fraction"),)),
        when.trains_only_backgrounds,
    ),
    Row(
        ("amp",),
        'A CPU cannot train in "bf16": ask for a GPU, or set "amp" to false.',
        Source("utils/torch_utils.py", 149, "bfloat16 autocast requires CUDA"),
        Refused("needs_a_gpu", lambda _: (("train", "amp"), ("resources", "gpus"))),
        lambda asked: asked.is_on_cpu and asked.train.amp == "bf16",
    ),
    Row(
        ("scale",),
        "Classification takes a share, not a pair.",
        Source("data/dataset.py", 1260, "1.0 - args.scale"),
        Refused("not_for_this_task", lambda _: (("train", "scale"),)),
        lambda asked: asked.task == "classify" and isinstance(asked.train.scale, tuple),
    ),
    Row(
        ("hsv_h",),
        "Without auto_augment, classification changes the hue by 0.5 at most.",
        Source("data/augment.py", 3059, "hue=hsv_h"),
        Refused("not_for_this_task", lambda _: (("train", "hsv_h"),)),
        when.changes_hue_too_much,
    ),
)

_BY_DATA: Final = (
    Row(
        ("fliplr", "flipud"),
        "The dataset has no flip_idx, so training flips no image; add flip_idx to its data.yaml.",
        Source("data/augment.py", 2898, "hyp.fliplr = hyp.flipud = 0.0"),
        ShownAsItRuns(_always(fliplr=0.0, flipud=0.0), even_defaults=True),
        when.lacks_flip_idx,
    ),
    Row(
        ("hsv_h", "hsv_s", "hsv_v"),
        "The images have {channels} channels, and training changes the colours of three only.",
        Source("data/augment.py", 1512, "img.shape[-1] != 3"),
        ShownAsItRuns(_always(hsv_h=0.0, hsv_s=0.0, hsv_v=0.0), even_defaults=True),
        lambda asked: asked.facts.channels != when.COLOURS,
    ),
    Row(
        ("bgr",),
        "The images have {channels} channels, and training swaps red and blue of three only.",
        Source("data/augment.py", 2521, "img.shape[0] == 3"),
        ShownAsItRuns(_always(bgr=0.0)),
        lambda asked: asked.facts.channels != when.COLOURS,
    ),
    Row(
        ("copy_paste",),
        "The dataset has masks, and training pastes outlined objects only.",
        Source("data/augment.py", 1982, 'len(labels["instances"].segments) == 0'),
        ShownAsItRuns(_always(copy_paste=0.0)),
        lambda asked: asked.task == "semantic" and asked.facts.has_masks is True,
    ),
    Row(
        ("max_det",),
        "An image has {most_objects} objects: training raises the default of 300 to that number.",
        Source("models/yolo/detect/val.py", 90, "args.max_det = observed"),
        ShownAsItRuns(lambda asked: {"max_det": asked.most_objects}, even_defaults=True),
        when.has_crowded_images,
    ),
    Row(
        ("kobj",),
        "The keypoints have no visibility, so there is no loss of it.",
        Source("utils/loss.py", 837, "kpts_obj_loss = self.bce_pose"),
        ShownAsItRuns(_left_out("kobj")),
        when.has_no_visibility,
    ),
)

_BY_MODEL: Final = (
    Row(
        ("imgsz",),
        "Training rounds {asked_imgsz} up to {imgsz}, a multiple of the model's stride.",
        Source("engine/trainer.py", 358, "check_imgsz(self.args.imgsz"),
        ShownAsItRuns(lambda asked: {"imgsz": asked.imgsz}),
        lambda asked: asked.imgsz != asked.train.imgsz,
    ),
    Row(
        ("rle",),
        "{architecture} has no residual log-likelihood loss.",
        Source("utils/loss.py", 852, "self.rle_loss = None"),
        ShownAsItRuns(_left_out("rle")),
        when.is_of_an_older_family,
    ),
    Row(
        ("nms",),
        "{architecture} has no NMS-free head.",
        Source("engine/validator.py", 173, "model.end2end = self.args.nms is False"),
        ShownAsItRuns(_always(nms=None)),
        lambda asked: asked.train.nms is False and when.is_of_an_older_family(asked),
    ),
    Row(
        ("iou",),
        "With nms false, validation does without non-maximum suppression.",
        Source("utils/nms.py", 71, "or end2end:"),
        ShownAsItRuns(_left_out("iou")),
        lambda asked: asked.train.nms is False and asked.family == "yolo26",
    ),
    Row(
        ("cls_remap",),
        "Training from scratch has no class outputs to reuse.",
        Source("nn/tasks.py", 362, "self._remap_cls_by_names"),
        ShownAsItRuns(_always(cls_remap=False)),
        lambda asked: asked.model.endswith(".yaml"),
    ),
)

_BY_OTHER_ARGUMENTS: Final = (
    Row(
        ("mosaic", "mixup", "cutmix"),
        "With rect, training neither makes mosaics nor mixes images.",
        Source("data/dataset.py", 337, "not self.rect"),
        ShownAsItRuns(_always(mosaic=0.0, mixup=0.0, cutmix=0.0)),
        lambda asked: asked.train.rect,
    ),
    Row(
        ("hsv_h", "hsv_s", "hsv_v"),
        "The policy of auto_augment replaces these changes of colours; set it to null to use them.",
        Source("data/augment.py", 3032, "disable_color_jitter = not"),
        ShownAsItRuns(_always(hsv_h=0.0, hsv_s=0.0, hsv_v=0.0)),
        lambda asked: asked.task == "classify" and asked.train.auto_augment is not None,
    ),
    Row(
        ("warmup_momentum",),
        "{optimizer} has no momentum that a warm-up changes.",
        Source("engine/trainer.py", 537, '"momentum" in x'),
        ShownAsItRuns(_left_out("warmup_momentum")),
        lambda asked: asked.train.optimizer in when.ADAM_FAMILY,
    ),
    Row(
        ("warmup_momentum", "warmup_bias_lr"),
        "There is no warm-up.",
        Source("engine/trainer.py", 279, "if warmup_epochs > 0 else 0"),
        ShownAsItRuns(_left_out("warmup_momentum", "warmup_bias_lr")),
        lambda asked: asked.train.warmup_epochs == 0,
    ),
    Row(
        ("agnostic_nms",),
        "With single_cls there is one class, so all boxes suppress each other.",
        Source("models/yolo/detect/val.py", 175, "self.args.single_cls or"),
        ShownAsItRuns(_always(agnostic_nms=True)),
        lambda asked: asked.train.single_cls,
    ),
    Row(
        ("copy_paste_mode",),
        "No object is pasted: set copy_paste.",
        Source("data/augment.py", 1982, "self.p == 0"),
        OnlyWarning(),
        lambda asked: asked.train.copy_paste == 0,
    ),
)

_BY_DEVICE: Final = (
    Row(
        ("amp",),
        "A CPU trains in FP32.",
        Source("utils/checks.py", 1010, "AMP only used on accelerator devices"),
        ShownAsItRuns(_always(amp=False)),
        lambda asked: asked.is_on_cpu,
    ),
    Row(
        ("loader_workers",),
        "A job on a CPU loads its images in its own process.",
        Source("engine/trainer.py", 179, "self.args.workers = 0"),
        ShownAsItRuns(_always(loader_workers=0)),
        lambda asked: asked.is_on_cpu,
    ),
    Row(
        ("batch",),
        "A CPU has no GPU memory to take a share of: training uses batches of 16.",
        Source("utils/autobatch.py", 82, "using default batch-size"),
        ShownAsItRuns(_always(batch=when.BATCH_ON_CPU)),
        lambda asked: asked.is_on_cpu and asked.train.batch < 1,
    ),
    Row(
        ("channels_last",),
        "Training on a CPU ignores the memory layout; the final validation follows it.",
        Source("engine/trainer.py", 353, "is only supported on CUDA"),
        OnlyWarning(),
        lambda asked: asked.is_on_cpu,
    ),
)

_REFUSED_BY_TASK: Final = OtherAnswer("the spec refuses it for other tasks")
_REFUSED_BY_AUTO: Final = OtherAnswer("the spec refuses it with auto")
_PLANNED: Final = OtherAnswer("the plan shows it")
_LOGGED: Final = OtherAnswer("the log of the attempt says it")

_ANSWERED_ELSEWHERE: Final = (
    Row(
        ("box", "cls", "dfl"),
        "Losses without boxes have no such gains.",
        Source("utils/loss.py", 483, "self.hyp.box  # box gain"),
        _REFUSED_BY_TASK,
    ),
    Row(
        ("conf", "iou", "max_det", "nms", "agnostic_nms"),
        "Only validation of boxes suppresses and counts them.",
        Source("models/yolo/detect/val.py", 169, "nms.non_max_suppression"),
        _REFUSED_BY_TASK,
    ),
    Row(
        ("single_cls",),
        "Masks of several classes cannot be merged, and no other task reads it.",
        Source("data/dataset.py", 1042, "'single_cls=True' is not supported for semantic"),
        _REFUSED_BY_TASK,
    ),
    Row(
        ("mosaic", "mixup", "cutmix", "close_mosaic"),
        "Depth maps and classification mix no images.",
        Source("data/dataset.py", 559, "hyp.mosaic = hyp.mixup = hyp.cutmix"),
        _REFUSED_BY_TASK,
    ),
    Row(
        ("copy_paste", "copy_paste_mode"),
        "Only outlined objects can be pasted.",
        Source("data/augment.py", 1982, 'len(labels["instances"].segments) == 0'),
        _REFUSED_BY_TASK,
    ),
    Row(
        ("multi_scale",),
        "Batches of classification are never rescaled.",
        Source("models/yolo/classify/train.py", 61, 'overrides["multi_scale"] = 0.0'),
        _REFUSED_BY_TASK,
    ),
    Row(
        ("degrees", "translate", "shear", "perspective", "bgr", "rect"),
        "Classification has augmentations of its own.",
        Source("data/dataset.py", 1262, "classify_augmentations("),
        _REFUSED_BY_TASK,
    ),
    Row(
        ("dropout", "auto_augment", "erasing"),
        "Only classification reads it.",
        Source("models/yolo/classify/train.py", 89, "m.p = self.args.dropout"),
        _REFUSED_BY_TASK,
    ),
    Row(
        ("cls_remap",),
        "Classification and depth do not reuse class outputs by name.",
        Source("models/yolo/detect/train.py", 147, 'self.args, "cls_remap", True'),
        _REFUSED_BY_TASK,
    ),
    Row(
        ("overlap_mask", "mask_ratio"),
        "Only instance segmentation draws masks.",
        Source("data/dataset.py", 349, "return_mask=self.use_segments"),
        _REFUSED_BY_TASK,
    ),
    Row(
        ("pose", "kobj", "rle"),
        "Only poses have these losses.",
        Source("utils/loss.py", 769, "self.hyp.pose  # pose gain"),
        _REFUSED_BY_TASK,
    ),
    Row(
        ("angle",),
        "Only oriented boxes have this loss.",
        Source("utils/loss.py", 1151, "self.hyp.angle  # angle gain"),
        _REFUSED_BY_TASK,
    ),
    Row(
        ("dlog", "dgrad", "dlam"),
        "Only depth has these losses.",
        Source("utils/loss.py", 1217, "self.silog_weight = h.dlog"),
        _REFUSED_BY_TASK,
    ),
    Row(
        ("lr0", "momentum", "warmup_bias_lr"),
        "The optimizer auto chooses its own values.",
        Source("engine/trainer.py", 1180, "ignoring 'lr0="),
        _REFUSED_BY_AUTO,
    ),
    Row(
        ("epochs",),
        "With time, the number of epochs is re-estimated after each epoch.",
        Source("engine/trainer.py", 680, "self.epochs = self.args.epochs"),
        _PLANNED,
    ),
    Row(
        ("warmup_epochs",),
        "The warm-up ends before the last epoch.",
        Source("engine/trainer.py", 278, "min(self.args.warmup_epochs"),
        _PLANNED,
    ),
    Row(
        ("batch",),
        "A batch has at most the images of the training split.",
        Source("data/build.py", 381, "batch = min(batch, dataset_len)"),
        _PLANNED,
    ),
    Row(
        ("cache",),
        "Images are not kept in memory if it is too small for them, nor on a disk without room.",
        Source("data/base.py", 409, "not caching images"),
        _LOGGED,
    ),
    Row(
        ("amp",),
        "Some GPUs, and GPUs that fail a check, train in FP32.",
        Source("utils/checks.py", 1020, "AMP training on"),
        _LOGGED,
    ),
    Row(
        ("loader_workers",),
        "There are at most as many processes as cores and batches, and none for one batch.",
        Source("data/build.py", 397, "nw = min(os.cpu_count()"),
        _LOGGED,
    ),
)

ROWS: Final = (
    *_CANNOT_TRAIN,
    *_BY_DATA,
    *_BY_MODEL,
    *_BY_OTHER_ARGUMENTS,
    *_BY_DEVICE,
    *_ANSWERED_ELSEWHERE,
)
