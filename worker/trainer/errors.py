"""Why a training fails: errors with an end reason, and the end reasons of other exceptions.

Does not import torch, since that import can fail, too.
"""

import errno
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from app.core import files
from app.jobs.end_reasons import EndReason


class TrainerError(Exception):
    """Base of failures with a known end reason; its text is for the user of the job."""

    reason: ClassVar[EndReason] = EndReason.TRAINER_BUG
    hint: ClassVar[str] = ""
    """The next step for the user, if a subclass knows more than the hint of its reason."""
    amended: Mapping[str, Any] | None = None
    """A merge patch of the job's spec that avoids the failure, if one is known."""


class BadData(TrainerError):
    """The dataset cannot be used for training."""

    reason = EndReason.BAD_DATA


class BadSpec(TrainerError):
    """The arguments do not fit together, or do not fit this dataset."""

    reason = EndReason.BAD_SPEC


class BadWeights(TrainerError):
    """The weights to start from cannot be read, or are for another task."""

    reason = EndReason.BAD_WEIGHTS


class BadCheckpoint(TrainerError):
    """The checkpoint to resume from cannot be read, or does not fit the job."""

    reason = EndReason.BAD_CHECKPOINT


class Diverged(TrainerError):
    """Losses stayed NaN or infinite after repeated restores, or grew without any result."""

    reason = EndReason.DIVERGED


@dataclass(frozen=True)
class Diagnosis:
    """Why the process exits, and the message, the hint and the amended spec that it reports."""

    reason: EndReason
    message: str
    hint: str
    amended: Mapping[str, Any] | None = None


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
    "failed to map segment",  # the dynamic linker
    "can't start new thread",  # no room for its stack
)
_GPU_LOST_TYPE: Final = "AcceleratorError"  # torch's; its `error_code` is a cudaError_t
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
_TERMINAL_CODE: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours and other sequences with parameters
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles and links
    r"|\x1b[ -/]*[0-~]?"
)
_SPACE: Final = re.compile(r"[\t-\r]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_IN_LOADER: Final = re.compile(r"Caught (\w+) in DataLoader worker process \d+\.\n")
_PATH: Final = re.compile(r"(?<![\w:/.])/(?:[^\s'\":,;()\[\]]+/)+(?=[^\s'\":,;()\[\]/]*)")
_MAX_MESSAGE: Final = 500


def diagnose(error: BaseException) -> Diagnosis:
    """Return the diagnosis of an exception; an unknown type and text is a trainer bug."""
    if is_disk_full(error):
        return _diagnosis(EndReason.DISK_FULL, "The worker's disk is full.")
    if is_out_of_memory(error):
        return _diagnosis(EndReason.OUT_OF_MEMORY, f"Memory ran out: {plain_line(error)}")
    if is_gpu_lost(error):
        return _diagnosis(EndReason.GPU_LOST, f"The GPU was lost: {plain_line(error)}")
    named = next((cause for cause in _chain(error) if isinstance(cause, TrainerError)), None)
    if named is not None:
        found = _diagnosis(named.reason, plain_line(named), hint=named.hint)
        return replace(found, amended=named.amended)
    return _diagnosis(EndReason.TRAINER_BUG, f"{type(error).__name__}: {plain_line(error)}")


def is_disk_full(error: BaseException) -> bool:
    """Return whether the exception, or one that led to it, reports a full disk."""
    return any(files.is_disk_full(cause) for cause in _chain(error))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out, by type and text of the exception and of its causes."""
    return any(_is_about_memory(cause) for cause in _chain(error))


def is_gpu_lost(error: BaseException) -> bool:
    """Return whether the GPU itself failed, by type and text of the exception and of its causes.

    An illegal address or a failed assertion in a kernel does not count: it is a bug or bad data,
    and would happen again.
    """
    return any(_is_about_lost_gpu(cause) for cause in _chain(error))


def is_of_this_machine(error: BaseException) -> bool:
    """Return whether memory, disk or another part of this machine failed, and not the data.

    Of errors of the operating system only causes count, since Ultralytics scans a dataset while it
    handles that a cache is missing.
    """
    if any(isinstance(cause, OSError) and cause.errno for cause in _causes(error)):
        return True
    return is_out_of_memory(error) or is_gpu_lost(error)


def plain_lines(error: BaseException) -> list[str]:
    """Return the lines of an exception's text that are not empty, as plain text without folders.

    An exception of a process that loads images arrives with its traceback as text.
    """
    text = str(error)
    if found := _IN_LOADER.search(text):
        *_, last = re.split(rf"^(?:\w+\.)*{found[1]}(?:: |$)", text, flags=re.MULTILINE)
        text = text[: found.start()] + last
    return [line for line in map(plain_text, text.splitlines()) if line]


def plain_line(error: BaseException) -> str:
    """Return the first of `plain_lines`, truncated."""
    return next(iter(plain_lines(error)), "")[:_MAX_MESSAGE]


def plain_text(text: str) -> str:
    """Return a text as one line, without terminal codes, control characters and folders.

    Neither JSON nor PostgreSQL can store lone surrogates or zero bytes.
    """
    visible = _CONTROL.sub("", _TERMINAL_CODE.sub("", _SPACE.sub(" ", text)))
    return without_paths(visible.encode(errors="replace").decode()).strip()


def without_paths(text: str) -> str:
    """Remove the folders of absolute paths from the text, and keep the file names."""
    return _PATH.sub("", text)


def _is_about_memory(error: BaseException) -> bool:
    if any(kind.__name__ in _OUT_OF_MEMORY_TYPES for kind in type(error).__mro__):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return _contains_any(error, _OUT_OF_MEMORY_TEXTS)


def _is_about_lost_gpu(error: BaseException) -> bool:
    is_of_torch = any(kind.__name__ == _GPU_LOST_TYPE for kind in type(error).__mro__)
    if is_of_torch and getattr(error, "error_code", None) in _GPU_LOST_CODES:
        return True
    return _contains_any(error, _GPU_LOST_TEXTS)


def _contains_any(error: BaseException, texts: Iterable[str]) -> bool:
    """Return whether the message has one of the texts, unless it may be in the name of a file."""
    if isinstance(error, TrainerError | FileNotFoundError):
        return False
    message = str(error).lower()
    return any(text in message for text in texts)


def _chain(error: BaseException) -> Iterator[BaseException]:
    return _following(error, lambda current: current.__cause__ or current.__context__)


def _causes(error: BaseException) -> Iterator[BaseException]:
    return _following(error, lambda current: current.__cause__)


def _following(
    error: BaseException, next_of: Callable[[BaseException], BaseException | None]
) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = next_of(current)


def _diagnosis(reason: EndReason, message: str, *, hint: str = "") -> Diagnosis:
    return Diagnosis(reason, message, hint or reason.hint)
