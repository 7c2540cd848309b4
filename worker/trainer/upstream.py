"""The typed parts of Ultralytics' trainers (8.4.190) that our classes rely on.

`TaskTrainer` exists for the type checker; a test compares it with the installed package.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import torch
import ultralytics.utils
from ultralytics.data import dataset
from ultralytics.data.utils import save_dataset_cache_file
from ultralytics.engine import trainer
from ultralytics.models.yolo.depth.calibrate import calibrate_checkpoint
from ultralytics.nn.tasks import torch_safe_load
from ultralytics.utils import LOGGER, metrics, torch_utils
from ultralytics.utils.git import GitRepo

DRAWN_BY_METRICS: Final[tuple[tuple[type | ModuleType, str], ...]] = (
    (metrics, "plot_pr_curve"),
    (metrics, "plot_mc_curve"),
    (metrics.ConfusionMatrix, "plot"),
    (metrics.ConfusionMatrix, "plot_matches"),
    (metrics.SemanticMetrics, "_plot_iou_bars"),
)
"""What draws while Ultralytics computes metrics: by owner, the functions' names."""

_STOCK_IMREAD: Final = dataset.ClassificationDataset.imread


def configure_ultralytics(*, threads: int) -> None:
    """Configure Ultralytics for headless use. Call once per process, before building a trainer.

    Ultralytics uses `threads` CPU threads (`select_device` repeatedly sets its own number,
    torch_utils.py:364), prints no progress bars into the log, and does not write the surrounding
    git repository, if any, into checkpoints (trainer.py:816). It keeps no cache where the dataset
    has a folder of the cache's name, and a classification dataset names an image that it cannot
    decode, as the other datasets do (base.py:294).
    """
    torch_utils.NUM_THREADS = threads  # type: ignore[attr-defined] # a name that it imports
    ultralytics.utils.VERBOSE = False
    trainer.GIT = GitRepo(Path(os.devnull))  # type: ignore[attr-defined] # a name that it imports
    dataset.save_dataset_cache_file = _save_cache  # type: ignore[attr-defined] # as above
    reads_images: Untyped = dataset.ClassificationDataset
    reads_images.imread = staticmethod(_read_image)


def draw_text_as_written() -> None:
    """Have matplotlib draw text as it is, since `$...$` in a class name is not a formula.

    Its formulas would end a training at its last validation. Imports matplotlib.
    """
    matplotlib = import_module("matplotlib")
    matplotlib.rcParams["text.parse_math"] = False


def log_line(text: str) -> None:
    """Write a line into the training log, as Ultralytics writes its own."""
    LOGGER.info(text)


@contextmanager
def replaced(owner: type | ModuleType, name: str, value: object) -> Iterator[None]:
    """Give a class or module of Ultralytics another function during the block.

    Its functions construct their datasets themselves, so no subclass of ours could be one of them.
    """
    stock = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, stock)


def scan_threads() -> int:
    """Return the number of threads with which Ultralytics scans a dataset."""
    return int(dataset.NUM_THREADS)  # type: ignore[attr-defined]


def pin_threads(threads: int) -> None:
    """Set the number of CPU threads that torch uses. Call it when the trainer is built."""
    torch.set_num_threads(threads)


def threads_in_use() -> int:
    """Return the number of CPU threads that torch uses."""
    return torch.get_num_threads()


def device_name(device: torch.device) -> str:
    """Return the GPU's product name, or the device's type."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def computes_in_bfloat16(device: torch.device) -> bool:
    """Return whether Ultralytics trains on the device in bfloat16."""
    try:
        torch_utils.autocast(torch.bfloat16, device=device.type)
    except RuntimeError:
        return False
    return True


def epoch_of_checkpoint(path: Path) -> int:
    """Return the epoch, from 1, after which an unstripped checkpoint was written."""
    checkpoint, _ = torch_safe_load(path)  # type: ignore[no-untyped-call]
    return int(checkpoint["epoch"]) + 1


def strip(path: Path) -> None:
    """Reduce a training checkpoint, in place, to weights for inference: the EMA as float16."""
    torch_utils.strip_optimizer(path)


def calibrate_depth(path: Path, loader: "Loader", device: torch.device, data: "Untyped") -> None:
    """Calibrate the scale of stripped depth weights, in place, as Ultralytics does with best.pt.

    Args:
        path: The weights file.
        loader: The loader of the validation images.
        device: The device to compute on.
        data: The trainer's `data`, for the maximum depth (depth/train.py:168).
    """
    farthest = data.get("max_depth") or 100.0
    calibrate_checkpoint(path, loader, device, dataset_hash=data.get("hash"), max_depth=farthest)


def _save_cache(prefix: str, path: Path, x: dict[str, object], version: str) -> None:
    """Save the cache of a scan (data/utils.py:1002), unless the dataset has a folder of its name.

    The name is that of a folder of labels with the suffix .cache, also where that folder has it.
    """
    if path.is_dir():
        x["version"] = version
    else:
        save_dataset_cache_file(prefix, path, x, version)


def _read_image(file: str) -> "Untyped":
    """Read an image of a classification dataset (data/dataset.py:1305).

    Raises:
        FileNotFoundError: OpenCV cannot decode the file.
    """
    image = _STOCK_IMREAD(file)
    if image is None:
        raise FileNotFoundError(f"Image Not Found {file}")
    return image


# Values passed through to Ultralytics, which has no types for them.
Untyped: TypeAlias = Any

if TYPE_CHECKING:
    from collections.abc import Sized
    from types import SimpleNamespace

    class Loader(Sized):
        """`data/build.py: InfiniteDataLoader`."""

        dataset: Sized

        def close(self) -> None: ...

    Stopper = torch_utils.EarlyStopping

    class TaskTrainer:
        """The part of `engine/trainer.py: BaseTrainer` that our mixins use."""

        _oom_retries: int
        args: SimpleNamespace
        batch_size: int
        best: Path
        best_fitness: float | None
        csv: Path
        data: dict[str, Any]
        device: Any
        ema: Any
        epoch: int
        epoch_time: float | None
        epochs: int
        fitness: float | None
        freeze_layer_names: list[str]
        last: Path
        loss_items: dict[str, Any] | None
        metrics: dict[str, float]
        model: Any
        optimizer: Any
        resume: bool
        save_dir: Path
        start_epoch: int
        stop: bool
        stopper: Stopper
        test_loader: Loader
        tloss: dict[str, Any] | None
        train_loader: Loader
        train_time_start: float
        nan_recovery_attempts: int
        validator: Untyped
        wdir: Path

        def __init__(self, *, overrides: dict[str, object]) -> None: ...
        def _build_train_pipeline(self) -> None: ...
        def _do_train(self) -> None: ...
        def _get_memory(self) -> float: ...
        def _handle_nan_recovery(self, epoch: int) -> bool: ...
        def _model_train(self) -> None: ...
        def build_dataset(self, *arguments: Untyped, **options: Untyped) -> Untyped: ...
        def build_optimizer(
            self, model: Untyped, *arguments: Untyped, **options: Untyped
        ) -> Untyped: ...
        def check_resume(self, overrides: dict[str, object]) -> None: ...
        def final_eval(self) -> None: ...
        def get_class_counts(self) -> Untyped: ...  # not for classify
        def get_dataloader(self, *arguments: Untyped, **options: Untyped) -> Loader: ...
        def get_dataset(self) -> dict[str, Any]: ...
        def get_model(
            self, cfg: Untyped = None, weights: Untyped = None, **options: Untyped
        ) -> Untyped: ...
        def get_validator(self) -> Untyped: ...
        def optimizer_step(self) -> None: ...
        def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]: ...
        def plot_metrics(self) -> None: ...
        def plot_training_labels(self) -> None: ...
        def plot_training_samples(self, batch: dict[str, Any], ni: int) -> None: ...
        def resume_training(self, ckpt: dict[str, Any] | None) -> None: ...
        def run_callbacks(self, event: str) -> None: ...
        def save_metrics(self, metrics: dict[str, Any]) -> None: ...
        def save_model(self) -> bool: ...
        def set_class_weights(self) -> None: ...
        def setup_model(self) -> dict[str, Any] | None: ...
        def train(self) -> None: ...
        def validate(self) -> tuple[dict[str, float] | None, float | None]: ...

else:
    TaskTrainer = object
    Loader = object
