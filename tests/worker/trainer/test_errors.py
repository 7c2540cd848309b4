from typing import Any

import pytest
from torch._utils import ExceptionWrapper

from app.jobs.end_reasons import EndReason
from worker.trainer.errors import (
    BadCheckpoint,
    BadData,
    BadSpec,
    BadWeights,
    Diverged,
    diagnose,
    is_of_this_machine,
    plain_line,
    without_paths,
)
from worker.trainer.protocol import exit_code_of


class OutOfMemoryError(RuntimeError):
    """Has the name of torch's own error."""


class AcceleratorError(RuntimeError):
    """Has the name of torch's error for a CUDA failure, which has a cudaError_t."""

    def __init__(self, error_code: int) -> None:
        super().__init__("CUDA error: some words of another release")
        self.error_code = error_code


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def in_the_context_of(error: Exception, context: Exception) -> Exception:
    error.__context__ = context
    return error


CASES = {
    "torch-type": (OutOfMemoryError("CUDA"), EndReason.OUT_OF_MEMORY),
    "python-type": (MemoryError(), EndReason.OUT_OF_MEMORY),
    "cuda-text": (RuntimeError("CUDA error: out of memory"), EndReason.OUT_OF_MEMORY),
    "cpu-text": (
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: not enough"),
        EndReason.OUT_OF_MEMORY,
    ),
    "system-text": (OSError(12, "Cannot allocate memory"), EndReason.OUT_OF_MEMORY),
    "system-number": (OSError(12, "Kein Speicher"), EndReason.OUT_OF_MEMORY),
    "cpu-sentence": (
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        EndReason.OUT_OF_MEMORY,
    ),
    "driver-text": (RuntimeError("CUDA_ERROR_OUT_OF_MEMORY"), EndReason.OUT_OF_MEMORY),
    "cublas-text": (
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        EndReason.OUT_OF_MEMORY,
    ),
    "cudnn-text": (
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        EndReason.OUT_OF_MEMORY,
    ),
    "cudnn-engine": (
        RuntimeError("GET was unable to find an engine to execute this computation"),
        EndReason.OUT_OF_MEMORY,
    ),
    "c++-text": (RuntimeError("std::bad_alloc"), EndReason.OUT_OF_MEMORY),
    "import-text": (ImportError("libtorch: failed to map segment"), EndReason.OUT_OF_MEMORY),
    "memory-below-data": (caused(BadData("Dataset error"), MemoryError()), EndReason.OUT_OF_MEMORY),
    "full-disk": (
        caused(RuntimeError("save failed"), OSError(28, "No space")),
        EndReason.DISK_FULL,
    ),
    "named": (BadData("no labels"), EndReason.BAD_DATA),
    "file-name-like-a-gpu-fault": (
        caused(BadData("eisenoxid 3.png cannot be decoded"), FileNotFoundError("eisenoxid 3.png")),
        EndReason.BAD_DATA,
    ),
    "file-name-like-memory": (BadData("insufficient memory.jpg has a hole"), EndReason.BAD_DATA),
    "named-below": (caused(RuntimeError("outer"), BadWeights("inner")), EndReason.BAD_WEIGHTS),
    "diverged": (Diverged("NaN"), EndReason.DIVERGED),
    "launch-failure": (
        RuntimeError("CUDA error: unspecified launch failure\nCompile with `TORCH_USE_CUDA_DSA`"),
        EndReason.GPU_LOST,
    ),
    "no-device": (
        RuntimeError("CUDA error: no CUDA-capable device is detected"),
        EndReason.GPU_LOST,
    ),
    "no-gpu": (RuntimeError("No CUDA GPUs are available"), EndReason.GPU_LOST),
    "gone-before-the-start": (
        caused(BadSpec("x"), ValueError("Invalid CUDA 'device=0' requested. Use 'device=cpu'")),
        EndReason.GPU_LOST,
    ),
    "gpu-is-lost": (
        RuntimeError("Unable to determine the device: GPU is lost"),
        EndReason.GPU_LOST,
    ),
    "off-the-bus": (RuntimeError("NVRM: Xid 79, GPU has fallen off the bus."), EndReason.GPU_LOST),
    "ecc": (RuntimeError("CUDA error: uncorrectable ECC error encountered"), EndReason.GPU_LOST),
    "busy": (
        RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable"),
        EndReason.GPU_LOST,
    ),
    "lost-by-type": (AcceleratorError(719), EndReason.GPU_LOST),
    "lost-below-data": (
        caused(BadData("Dataset error"), AcceleratorError(214)),
        EndReason.GPU_LOST,
    ),
    "accelerator-but-not-lost": (AcceleratorError(700), EndReason.TRAINER_BUG),
    "failed-assertion": (
        RuntimeError("CUDA error: device-side assert triggered"),
        EndReason.TRAINER_BUG,
    ),
    "checkpoint": (BadCheckpoint("cut"), EndReason.BAD_CHECKPOINT),
    "anything-else": (KeyError("x"), EndReason.TRAINER_BUG),
}


class TestDiagnose:
    @pytest.mark.parametrize(("error", "reason"), CASES.values(), ids=CASES.keys())
    def test_a_diagnosis_names_an_exception_by_type_text_and_cause(
        self, error: Exception, reason: EndReason
    ) -> None:
        assert diagnose(error).reason is reason

    def test_a_full_disk_has_a_code_of_its_own(self) -> None:
        found = diagnose(OSError(28, "No space left on device"))

        assert (found.reason, exit_code_of(found.reason)) == ("disk_full", 20)

    def test_a_bug_is_told_by_type_and_first_line(self) -> None:
        found = diagnose(ValueError("bad /srv/trainyard/jobs/job_1/x.txt\nsecond line"))

        assert (found.reason, found.message) == ("trainer_bug", "ValueError: bad x.txt")

    def test_a_message_can_be_sent_and_stored_whatever_it_holds(self) -> None:
        found = diagnose(ValueError("a\0b\udcff"))

        assert found.message == "ValueError: ab?"

    def test_a_diagnosis_ends_on_a_cycle_of_causes(self) -> None:
        error = RuntimeError("a")
        error.__cause__ = caused(RuntimeError("b"), error)

        assert diagnose(error).reason is EndReason.TRAINER_BUG


TEXTS = {
    "colours": ("\x1b[34m\x1b[1mtrain: \x1b[0mNo labels", "train: No labels"),
    "link": ("\x1b]8;;https://x\x1b\\help\x1b]8;;\x07 me", "help me"),
    "one-character": ("a\x1bMb\x1b", "ab"),
    "eight-bit": ("a\x9b31mb", "a31mb"),
    "controls": ("a\b\x0eb\tc\x7f", "ab c"),
    "path": ("\x1b[1min '/home/me/x.jpg'\x1b[0m", "in 'x.jpg'"),
    "empty-lines": ("\n\x1b[0m\n  first\nsecond", "first"),
}


class TestPlainLine:
    @pytest.mark.parametrize(("text", "plain"), TEXTS.values(), ids=TEXTS.keys())
    def test_a_plain_line_is_the_first_one_without_terminal_codes(
        self, text: str, plain: str
    ) -> None:
        assert plain_line(ValueError(text)) == plain

    @pytest.mark.parametrize("error", [BadData("x.tif is odd\nmore"), ValueError("x.tif is odd")])
    def test_an_error_of_a_process_that_loads_images_has_its_own_text(
        self, error: Exception
    ) -> None:
        with pytest.raises(type(error)) as raised:
            raise_from_a_loader(error)

        assert plain_line(raised.value) == "x.tif is odd"

    def test_an_error_without_a_text_of_a_process_that_loads_images_has_none(self) -> None:
        with pytest.raises(AssertionError) as raised:
            raise_from_a_loader(AssertionError())

        assert plain_line(raised.value) == ""


def raise_from_a_loader(error: Exception) -> None:
    """Raise an error in the way torch passes it on from a loader's process."""
    try:
        raise_it(error)
    except type(error):
        passed_on: Any = ExceptionWrapper(  # type: ignore[no-untyped-call] # torch's own
            where="in DataLoader worker process 0"
        )
    passed_on.reraise()


def raise_it(error: Exception) -> None:
    raise error


OF_THE_MACHINE = {
    "disk": OSError(5, "Input/output error"),
    "cause": caused(RuntimeError("Dataset error"), PermissionError(13, "Denied")),
    "memory": MemoryError(),
}
OF_THE_DATA = {
    "no-image": OSError("cannot identify image file"),
    "not-decoded": FileNotFoundError("Image Not Found x.tif"),
    "context": in_the_context_of(ValueError("No labels"), OSError(2, "No cache")),
}


class TestIsOfThisMachine:
    @pytest.mark.parametrize("error", OF_THE_MACHINE.values(), ids=OF_THE_MACHINE.keys())
    def test_an_error_of_memory_or_the_operating_system_is_of_this_machine(
        self, error: Exception
    ) -> None:
        assert is_of_this_machine(error)

    @pytest.mark.parametrize("error", OF_THE_DATA.values(), ids=OF_THE_DATA.keys())
    def test_an_error_about_the_content_of_a_file_is_not_of_this_machine(
        self, error: Exception
    ) -> None:
        assert not is_of_this_machine(error)


PATHS = {
    "file": ("in '/home/me/data/img.jpg' now", "in 'img.jpg' now"),
    "folder": ("not in /srv/jobs/run", "not in run"),
    "two": ("/a/b.txt and /c/d.txt", "b.txt and d.txt"),
    "relative": ("labels/train/a.txt:3", "labels/train/a.txt:3"),
    "metric": ("val/box_loss is NaN", "val/box_loss is NaN"),
    "url": (
        "see https://docs.ultralytics.com/datasets/x",
        "see https://docs.ultralytics.com/datasets/x",
    ),
}


class TestWithoutPaths:
    @pytest.mark.parametrize(("text", "cleaned"), PATHS.values(), ids=PATHS.keys())
    def test_a_text_without_paths_keeps_names_and_drops_folders(
        self, text: str, cleaned: str
    ) -> None:
        assert without_paths(text) == cleaned
