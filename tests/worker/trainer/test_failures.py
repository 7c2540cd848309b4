"""Every kind of failure in a real trainer process: its exit code and its last event."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.tasks import Task
from app.jobs.end_reasons import EndReason
from tests.waiting import eventually
from tests.worker.trainer import jobs
from tests.worker.trainer.drawn_datasets import draw_dataset, spoil_labels
from tests.worker.trainer.jobs import TrainerProcess, a_job, run, weights
from worker.trainer.protocol import ErrorEvent

pytestmark = pytest.mark.usefixtures("both_ways")

BREAKS_OUR_REPORTING = """
import sys
from importlib.abc import MetaPathFinder

class BreakReporting(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "worker.trainer.mixins.pace":
            raise LookupError("broken on purpose in /srv/secret/place")

sys.meta_path.insert(0, BreakReporting())
"""


class TestFailures:
    def test_labels_that_are_all_bad_end_as_bad_data(self, tmp_path: Path) -> None:
        dataset = draw_dataset(tmp_path, "detect")
        spoil_labels(dataset)

        ours = run(a_job(dataset, tmp_path), tmp_path)

        assert exit_and_error(ours) == (EndReason.BAD_DATA.exit_code, "bad_data")
        assert str(tmp_path) not in last_word(ours).message

    def test_a_dataset_that_does_not_exist_ends_as_bad_data(self, tmp_path: Path) -> None:
        ours = run(a_job(tmp_path / "nothing", tmp_path), tmp_path)

        assert exit_and_error(ours) == (EndReason.BAD_DATA.exit_code, "bad_data")

    def test_memory_that_does_not_suffice_ends_as_out_of_memory(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        job = a_job(
            drawn("detect"),
            tmp_path,
            train={"imgsz": 1280, "batch": 16},
            memory_limit_bytes=5 * 2**30,
        )

        ours = run(job, tmp_path)

        assert exit_and_error(ours) == (EndReason.OUT_OF_MEMORY.exit_code, "out_of_memory"), (
            ours.log
        )
        assert ours.of("started"), "it is the training that shall run out of memory"

    def test_memory_that_does_not_suffice_to_import_torch_ends_as_out_of_memory(
        self, drawn: Callable[[Task], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A fork has torch already. Above its limit from the start, it can abort in any library.
        monkeypatch.setattr(jobs, "default_way", lambda: "cold")
        job = a_job(drawn("detect"), tmp_path, memory_limit_bytes=400 * 2**20)

        ours = run(job, tmp_path)

        assert exit_and_error(ours) == (EndReason.OUT_OF_MEMORY.exit_code, "out_of_memory"), (
            ours.log
        )

    @pytest.mark.slow
    def test_losses_that_stay_nan_after_three_recoveries_end_as_diverged(
        self, tmp_path: Path
    ) -> None:
        # Too narrow for float32: their squares are 0, and the gradient of exp(-d / 0) is NaN. The
        # allowed learning rates do not get YOLO26 there: gradients are clipped, layers normalised.
        dataset = draw_dataset(tmp_path, "pose", oks_sigmas=1e-25)

        ours = run(a_job(dataset, tmp_path, task="pose", train={"epochs": 5}), tmp_path)

        assert exit_and_error(ours) == (EndReason.DIVERGED.exit_code, "diverged"), ours.log
        codes = [event.code for event in ours.of("warning")]
        assert codes == ["metric_not_finite", *["nan_recovered"] * 3]
        (epoch,) = ours.of("epoch")
        assert epoch.metrics["train/pose_loss"] is None
        assert last_word(ours).amended == {"train": {"lr0": 0.001}}

    def test_a_last_epoch_without_a_finite_loss_ends_as_diverged_with_its_checkpoint(
        self, tmp_path: Path
    ) -> None:
        dataset = draw_dataset(tmp_path, "pose", oks_sigmas=1e-25)

        ours = run(a_job(dataset, tmp_path, task="pose", train={"epochs": 1}), tmp_path)

        assert exit_and_error(ours) == (EndReason.DIVERGED.exit_code, "diverged"), ours.log
        assert [event.epoch for event in ours.of("epoch")] == [1]
        assert [event.files["last.pt"] for event in ours.of("checkpoint")] != [None]
        assert last_word(ours).amended == {"train": {"lr0": 0.001}}

    def test_weights_that_are_no_checkpoint(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        (tmp_path / "w.pt").write_bytes(b"no checkpoint")
        job = a_job(drawn("detect"), tmp_path, model=weights(tmp_path / "w.pt"))

        ours = run(job, tmp_path)

        assert exit_and_error(ours) == (EndReason.BAD_WEIGHTS.exit_code, "bad_weights")

    @pytest.mark.slow
    def test_weights_of_another_task_end_as_a_named_error(
        self, drawn: Callable[[Task], Path], finished: TrainerProcess, tmp_path: Path
    ) -> None:
        best = finished.directory / "run" / "final" / "best.pt"
        job = a_job(drawn("segment"), tmp_path, task="segment", model=weights(best))

        ours = run(job, tmp_path)

        assert exit_and_error(ours) == (EndReason.BAD_WEIGHTS.exit_code, "bad_weights")
        assert "detect" in last_word(ours).message

    def test_arguments_that_do_not_fit_the_data_end_as_a_named_error(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        # 18 images in batches of 17 leave one; batch normalisation fails on it at 32 pixels.
        job = a_job(drawn("detect"), tmp_path, train={"imgsz": 32, "batch": 17})

        ours = run(job, tmp_path)

        assert exit_and_error(ours) == (EndReason.BAD_SPEC.exit_code, "bad_spec")

    @pytest.mark.parametrize("has_empty_files", [False, True], ids=["no-files", "empty-files"])
    def test_a_fraction_of_backgrounds_ends_as_a_named_error(
        self, tmp_path: Path, *, has_empty_files: bool
    ) -> None:
        dataset = draw_dataset(tmp_path, "detect")
        for label in sorted(dataset.glob("labels/train/*.txt"))[:6]:
            label.unlink()
            if has_empty_files:
                label.touch()
        job = a_job(dataset, tmp_path, train={"fraction": 6})

        ours = run(job, tmp_path)

        assert exit_and_error(ours) == (EndReason.BAD_SPEC.exit_code, "bad_spec"), ours.log
        assert "fraction=6" in last_word(ours).message

    def test_bfloat16_on_a_cpu_ends_as_a_named_error(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        job = a_job(drawn("detect"), tmp_path, train={"amp": "bf16"})

        ours = run(job, tmp_path)

        assert exit_and_error(ours) == (EndReason.BAD_SPEC.exit_code, "bad_spec"), ours.log
        assert "bf16" in last_word(ours).message

    def test_a_job_file_that_is_none(self, tmp_path: Path) -> None:
        job = a_job(tmp_path, tmp_path).model_copy(update={"attempt": 0})

        ours = run(job, tmp_path)

        assert exit_and_error(ours) == (EndReason.BAD_SPEC.exit_code, "bad_spec")
        assert "attempt" in last_word(ours).message

    def test_an_exception_of_ours_ends_as_a_named_error(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        (tmp_path / "sitecustomize.py").write_text(BREAKS_OUR_REPORTING, encoding="utf-8")

        ours = run(a_job(drawn("detect"), tmp_path), tmp_path, PYTHONPATH=str(tmp_path))

        assert exit_and_error(ours) == (EndReason.TRAINER_BUG.exit_code, "trainer_bug")
        assert last_word(ours).message == "LookupError: broken on purpose in place"
        assert "Traceback" in ours.log

    def test_a_crash_of_the_process_has_no_last_word(
        self,
        drawn: Callable[[Task], Path],
        started: Callable[..., TrainerProcess],
        tmp_path: Path,
    ) -> None:
        ours = started(a_job(drawn("detect"), tmp_path, train={"epochs": 99}), tmp_path)
        eventually(lambda: ours.of("started"), within=60)

        os.kill(ours.process.pid, signal.SIGSEGV)

        assert ours.wait() == -signal.SIGSEGV
        assert ours.of("error") == []


def exit_and_error(process: TrainerProcess) -> tuple[int | None, str]:
    return process.process.exit_code, last_word(process).code


def last_word(process: TrainerProcess) -> ErrorEvent:
    last = process.events[-1]
    if not isinstance(last, ErrorEvent):
        pytest.fail(f"the last event is {last}\n{process.log[-2000:]}")
    assert last.hint
    return last
