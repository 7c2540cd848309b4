"""Why a training fails: errors that name an end reason, and which reason other exceptions have.

Free of torch, since importing torch is one of the things that can fail.
"""

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from app.core import files
from app.jobs.end_reasons import EndReason


class TrainerError(Exception):
    """Base of failures that have a name; its text is for the person who reads the job."""

    reason: ClassVar[EndReason] = EndReason.TRAINER_BUG
    hint: ClassVar[str] = ""
    """What to do, where a subclass knows more than its reason's own hint says."""


class BadData(TrainerError):
    """The dataset cannot be trained on."""

    reason = EndReason.BAD_DATA


class BadSpec(TrainerError):
    """The arguments do not fit together, or not with this dataset."""

    reason = EndReason.BAD_SPEC


class BadWeights(TrainerError):
    """The weights to start from cannot be read, or are for another task."""

    reason = EndReason.BAD_WEIGHTS


class BadCheckpoint(TrainerError):
    """The checkpoint to resume from cannot be read, or does not fit the job."""

    reason = EndReason.BAD_CHECKPOINT


class Diverged(TrainerError):
    """Losses stayed NaN or infinite although the last checkpoint was restored repeatedly."""

    reason = EndReason.DIVERGED


@dataclass(frozen=True)
class Diagnosis:
    """Why the process leaves, and what it reports."""

    reason: EndReason
    message: str
    hint: str


_OUT_OF_MEMORY_TYPES: Final = frozenset({"MemoryError", "OutOfMemoryError"})
_OUT_OF_MEMORY_TEXTS: Final = (
    "out of memory",
    "error_out_of_memory",  # CUDA's driver
    "cublas_status_alloc_failed",  # this and the next two: as Ultralytics 8.4.190, trainer.py:571
    "cudnn_status_internal_error",
    "unable to find an engine",
    "std::bad_alloc",
    "can't allocate memory",
    "cannot allocate memory",
    "defaultcpuallocator",
    "insufficient memory",  # OpenCV
    "failed to map segment",  # the loader of shared libraries
    "can't start new thread",  # no room for its stack
)
_GPU_LOST_TYPE: Final = "AcceleratorError"  # of torch; its `error_code` is a cudaError_t
_GPU_LOST_CODES: Final = frozenset({46, 100, 101, 214, 220, 226, 702, 714, 719, 802})
_GPU_LOST_TEXTS: Final = (
    "unspecified launch failure",
    "launch timed out",
    "gpu is lost",
    "fallen off the bus",
    "no cuda-capable device",
    "no cuda gpus are available",
    "cuda-capable device(s) is/are busy or unavailable",
    "invalid device ordinal",
    "invalid cuda 'device=",  # Ultralytics 8.4.190, torch_utils.py: select_device
    "uncorrectable ecc",
    "uncorrectable nvlink",
    "hardware stack error",
    "cuda_error_launch_failed",
    "cuda_error_no_device",
    "cuda_error_ecc",
    "nvml: unknown error",
    "xid ",
)
_PATH: Final = re.compile(r"(?<![\w:/.])/(?:[^\s'\":,;()\[\]]+/)+(?=[^\s'\":,;()\[\]/]*)")
_MAX_MESSAGE: Final = 500


def diagnose(error: BaseException) -> Diagnosis:
    """Name an exception. What is not known by type or text is a bug of ours."""
    if is_disk_full(error):
        return _diagnosis(EndReason.DISK_FULL, "The worker's disk is full.")
    if is_out_of_memory(error):
        return _diagnosis(EndReason.OUT_OF_MEMORY, f"Memory ran out: {_first_line(error)}")
    if is_gpu_lost(error):
        return _diagnosis(EndReason.GPU_LOST, f"The GPU was lost: {_first_line(error)}")
    named = next((each for each in _chain(error) if isinstance(each, TrainerError)), None)
    if named is not None:
        return _diagnosis(named.reason, _first_line(named), hint=named.hint)
    return _diagnosis(EndReason.TRAINER_BUG, f"{type(error).__name__}: {_first_line(error)}")


def is_disk_full(error: BaseException) -> bool:
    """Tell whether the exception, or one that led to it, says that there is no room to write."""
    return any(files.is_disk_full(each) for each in _chain(error))


def is_out_of_memory(error: BaseException) -> bool:
    """Tell by type and by text, of the exception and of those it was raised from."""
    return any(_says_out_of_memory(each) for each in _chain(error))


def is_gpu_lost(error: BaseException) -> bool:
    """Tell by type and by text whether the GPU failed, rather than what it was told to do.

    An illegal address or a failed assertion in a kernel is a bug or bad data: it would come again.
    """
    return any(_says_gpu_is_lost(each) for each in _chain(error))


def without_paths(text: str) -> str:
    """Return the text with the folders of absolute paths left out, and names kept."""
    return _PATH.sub("", text)


def _says_out_of_memory(error: BaseException) -> bool:
    if any(kind.__name__ in _OUT_OF_MEMORY_TYPES for kind in type(error).__mro__):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    said = str(error).lower()
    return any(text in said for text in _OUT_OF_MEMORY_TEXTS)


def _says_gpu_is_lost(error: BaseException) -> bool:
    is_of_torch = any(kind.__name__ == _GPU_LOST_TYPE for kind in type(error).__mro__)
    if is_of_torch and getattr(error, "error_code", None) in _GPU_LOST_CODES:
        return True
    said = str(error).lower()
    return any(text in said for text in _GPU_LOST_TEXTS)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _first_line(error: BaseException) -> str:
    line = next(iter(str(error).strip().splitlines()), "")
    # Neither JSON nor PostgreSQL takes halves of characters or zero bytes.
    text = line.replace("\0", "").encode(errors="replace").decode()
    return without_paths(text)[:_MAX_MESSAGE]


def _diagnosis(reason: EndReason, message: str, *, hint: str = "") -> Diagnosis:
    return Diagnosis(reason, message, hint or reason.hint)
