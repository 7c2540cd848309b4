import pytest

from worker.trainer.errors import (
    BadCheckpoint,
    BadData,
    BadSpec,
    BadWeights,
    Diverged,
    diagnose,
    without_paths,
)
from worker.trainer.protocol import ExitCode


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


class AcceleratorError(RuntimeError):
    """Named as torch names what CUDA says, with a cudaError_t."""

    def __init__(self, error_code: int) -> None:
        super().__init__("CUDA error: some words of another release")
        self.error_code = error_code


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


CASES = {
    "torch-type": (OutOfMemoryError("CUDA"), ExitCode.OUT_OF_MEMORY),
    "python-type": (MemoryError(), ExitCode.OUT_OF_MEMORY),
    "cuda-text": (RuntimeError("CUDA error: out of memory"), ExitCode.OUT_OF_MEMORY),
    "cpu-text": (
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: not enough"),
        ExitCode.OUT_OF_MEMORY,
    ),
    "system-text": (OSError(12, "Cannot allocate memory"), ExitCode.OUT_OF_MEMORY),
    "system-number": (OSError(12, "Kein Speicher"), ExitCode.OUT_OF_MEMORY),
    "cpu-sentence": (
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        ExitCode.OUT_OF_MEMORY,
    ),
    "driver-text": (RuntimeError("CUDA_ERROR_OUT_OF_MEMORY"), ExitCode.OUT_OF_MEMORY),
    "cublas-text": (
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        ExitCode.OUT_OF_MEMORY,
    ),
    "cudnn-text": (
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        ExitCode.OUT_OF_MEMORY,
    ),
    "cudnn-engine": (
        RuntimeError("GET was unable to find an engine to execute this computation"),
        ExitCode.OUT_OF_MEMORY,
    ),
    "c++-text": (RuntimeError("std::bad_alloc"), ExitCode.OUT_OF_MEMORY),
    "import-text": (ImportError("libtorch: failed to map segment"), ExitCode.OUT_OF_MEMORY),
    "memory-below-data": (caused(BadData("Dataset error"), MemoryError()), ExitCode.OUT_OF_MEMORY),
    "full-disk": (caused(RuntimeError("save failed"), OSError(28, "No space")), ExitCode.BUG),
    "named": (BadData("no labels"), ExitCode.BAD_DATA),
    "named-below": (caused(RuntimeError("outer"), BadWeights("inner")), ExitCode.BAD_WEIGHTS),
    "diverged": (Diverged("NaN"), ExitCode.DIVERGED),
    "launch-failure": (
        RuntimeError("CUDA error: unspecified launch failure\nCompile with `TORCH_USE_CUDA_DSA`"),
        ExitCode.GPU_LOST,
    ),
    "no-device": (
        RuntimeError("CUDA error: no CUDA-capable device is detected"),
        ExitCode.GPU_LOST,
    ),
    "no-gpu": (RuntimeError("No CUDA GPUs are available"), ExitCode.GPU_LOST),
    "gone-before-the-start": (
        caused(BadSpec("x"), ValueError("Invalid CUDA 'device=0' requested. Use 'device=cpu'")),
        ExitCode.GPU_LOST,
    ),
    "gpu-is-lost": (RuntimeError("Unable to determine the device: GPU is lost"), ExitCode.GPU_LOST),
    "off-the-bus": (RuntimeError("NVRM: Xid 79, GPU has fallen off the bus."), ExitCode.GPU_LOST),
    "ecc": (RuntimeError("CUDA error: uncorrectable ECC error encountered"), ExitCode.GPU_LOST),
    "busy": (
        RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable"),
        ExitCode.GPU_LOST,
    ),
    "lost-by-type": (AcceleratorError(719), ExitCode.GPU_LOST),
    "lost-below-data": (caused(BadData("Dataset error"), AcceleratorError(214)), ExitCode.GPU_LOST),
    "accelerator-but-not-lost": (AcceleratorError(700), ExitCode.BUG),
    "failed-assertion": (RuntimeError("CUDA error: device-side assert triggered"), ExitCode.BUG),
    "checkpoint": (BadCheckpoint("cut"), ExitCode.BAD_CHECKPOINT),
    "anything-else": (KeyError("x"), ExitCode.BUG),
}


class TestDiagnose:
    @pytest.mark.parametrize(("error", "code"), CASES.values(), ids=CASES.keys())
    def test_names_an_exception_by_type_text_and_cause(
        self, error: Exception, code: ExitCode
    ) -> None:
        assert diagnose(error).exit_code is code

    def test_a_full_disk_has_a_code_of_its_own(self) -> None:
        assert diagnose(OSError(28, "No space left on device")).code == "disk_full"

    def test_a_bug_is_told_by_type_and_first_line(self) -> None:
        found = diagnose(ValueError("bad /srv/trainyard/jobs/job_1/x.txt\nsecond line"))

        assert (found.code, found.message) == ("trainer_bug", "ValueError: bad x.txt")

    def test_a_message_can_be_sent_and_stored_whatever_it_holds(self) -> None:
        found = diagnose(ValueError("a\0b\udcff"))

        assert found.message == "ValueError: ab?"

    def test_ends_on_a_cycle_of_causes(self) -> None:
        error = RuntimeError("a")
        error.__cause__ = caused(RuntimeError("b"), error)

        assert diagnose(error).exit_code is ExitCode.BUG


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
    def test_keeps_names_and_drops_folders(self, text: str, cleaned: str) -> None:
        assert without_paths(text) == cleaned
