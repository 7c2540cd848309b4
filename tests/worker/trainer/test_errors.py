import pytest

from worker.trainer.errors import BadData, BadWeights, Diverged, diagnose, without_paths
from worker.trainer.protocol import ExitCode


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


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
    "cuda-but-not-memory": (RuntimeError("CUDA error: device-side assert"), ExitCode.BUG),
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
