import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from app.artifacts.names import ArtifactKind
from app.core.tasks import Task
from app.jobs.end_reasons import EndReason
from tests.worker.trainer.jobs import TrainerProcess, a_job, run
from worker.trainer.mixins.plain_resume import has_trained_its_last_epoch, trim_results
from worker.trainer.protocol import FinalEvent, JobFile

HEADER = "epoch,time,train/loss\n"


class TestTrimResults:
    def test_trimming_results_drops_epochs_newer_than_the_checkpoint(self, tmp_path: Path) -> None:
        file = tmp_path / "results.csv"
        file.write_text(HEADER + "1,1,3\n2,2,2\n3,3,1\n")

        trim_results(file, last_epoch=2)

        assert file.read_text() == HEADER + "1,1,3\n2,2,2\n"

    def test_trimming_results_keeps_the_newest_of_repeated_epochs(self, tmp_path: Path) -> None:
        file = tmp_path / "results.csv"
        file.write_text(HEADER + "1,1,3\n2,2,2\n2,1,9\n")

        trim_results(file, last_epoch=2)

        assert file.read_text() == HEADER + "1,1,3\n2,1,9\n"

    def test_trimming_results_accepts_a_missing_file(self, tmp_path: Path) -> None:
        trim_results(tmp_path / "results.csv", last_epoch=2)

        assert not (tmp_path / "results.csv").exists()


class TestHasTrainedItsLastEpoch:
    @pytest.mark.parametrize(
        ("done", "best", "epochs", "patience", "answer"),
        [
            pytest.param(1, 1, 3, math.inf, False, id="epochs-left"),
            pytest.param(3, 1, 3, math.inf, True, id="all-epochs"),
            pytest.param(4, 2, 9, 3, False, id="patience-left"),
            pytest.param(5, 2, 9, 3, True, id="stopped-early"),
        ],
    )
    def test_the_last_epoch_is_known_by_epochs_and_patience(
        self, *, done: int, best: int, epochs: int, patience: float, answer: bool
    ) -> None:
        checkpoint = {"epoch": done - 1, "stopper": {"best_epoch": best, "best_fitness": 0.5}}

        assert has_trained_its_last_epoch(checkpoint, epochs, patience) is answer


class TestResume:
    def test_a_resume_from_the_first_epoch_trains_the_rest_with_contiguous_results(
        self, finished: TrainerProcess, tmp_path: Path
    ) -> None:
        job = resumed(finished, tmp_path, epoch=1)
        with (job.run_directory / "results.csv").open("a") as file:
            file.write("2,9,9\n")  # an epoch whose last.pt was never written

        ours = run(job, tmp_path)

        assert ours.process.exit_code == 0, ours.log
        assert [event.epoch for event in ours.of("epoch")] == [2]
        assert [event.first_epoch for event in ours.of("started")] == [2]
        rows = (job.run_directory / "results.csv").read_text().splitlines()
        assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2"]
        assert rows[:2] == results_of(finished)[:2]
        assert ours.of("epoch")[0].optimizer_steps >= 4

    @pytest.mark.slow
    def test_a_resume_from_the_last_epoch_only_finalizes_and_finds_the_same(
        self, finished: TrainerProcess, tmp_path: Path
    ) -> None:
        job = resumed(finished, tmp_path, epoch=2)

        ours = run(job, tmp_path)

        assert ours.process.exit_code == 0, ours.log
        assert ours.of("epoch") == []
        (again,), (first,) = ours.of("final"), finished.of("final")
        assert without_plots(again) == without_plots(first)
        assert kinds_but_plots(again) == kinds_but_plots(first)
        for name in ("best.pt", "last.pt"):
            made = weights_in(job.run_directory / "final" / name, "model")
            before = weights_in(finished.directory / "run" / "final" / name, "model")
            assert all(torch.equal(made[key], before[key]) for key in before), name
        assert results_of(ours) == results_of(finished)

    @pytest.mark.slow
    def test_a_resume_of_a_stopped_job_only_finalizes_the_weights_so_far(
        self, finished: TrainerProcess, tmp_path: Path
    ) -> None:
        job = resumed(finished, tmp_path, epoch=1).model_copy(update={"only_finalize": True})
        kept = weights_in(job.run_directory / "weights" / "best.pt", "ema")

        ours = run(job, tmp_path)

        assert ours.process.exit_code == 0, ours.log
        assert (ours.of("started"), ours.of("epoch")) == ([], [])
        (final,) = ours.of("final")
        assert (final.epochs_done, final.best_epoch) == (1, 1)
        made = weights_in(job.run_directory / "final" / "best.pt", "model")
        assert made.keys() == kept.keys()
        assert all(torch.equal(made[name], kept[name]) for name in made)
        assert results_of(ours) == results_of(finished)[:2]

    @pytest.mark.parametrize("bytes_kept", [0, 500_000])
    @pytest.mark.slow
    def test_a_resume_from_a_truncated_file_says_that_it_is_the_file(
        self, finished: TrainerProcess, tmp_path: Path, bytes_kept: int
    ) -> None:
        job = resumed(finished, tmp_path, epoch=1)
        assert job.resume_from is not None
        whole = job.resume_from.read_bytes()
        job.resume_from.unlink()  # its bytes are those of the earlier attempt
        job.resume_from.write_bytes(whole[:bytes_kept])

        ours = run(job, tmp_path)

        assert ours.process.exit_code == EndReason.BAD_CHECKPOINT.exit_code, ours.log
        (error,) = ours.of("error")
        assert error.code == "bad_checkpoint"
        assert str(tmp_path) not in error.message

    @pytest.mark.slow
    def test_a_resume_after_early_stopping_only_finalizes(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        first = tmp_path / "first"
        job = a_job(
            drawn("classify"),
            first,
            task="classify",
            # Without learning, the first epoch stays the best.
            train={"epochs": 9, "patience": 1, "lr0": 1e-9},
        )
        stopped = run(job, first)
        epochs = len(stopped.of("epoch"))

        ours = run(resumed(stopped, tmp_path / "second", epoch=epochs), tmp_path / "second")

        assert 1 < epochs < 9
        assert ours.process.exit_code == 0, ours.log
        assert ours.of("epoch") == []
        assert ours.of("final")[0].epochs_done == epochs


def resumed(earlier: TrainerProcess, directory: Path, *, epoch: int) -> JobFile:
    """Return the job's next attempt, with its directory filled as the supervisor does."""
    (event,) = [each for each in earlier.of("checkpoint") if each.epoch == epoch]
    outbox = {name: earlier.directory / "run" / path for name, path in event.files.items() if path}
    best = [e.files["best.pt"] for e in earlier.of("checkpoint") if e.epoch <= epoch]
    newest_best = [path for path in best if path][-1]
    run_directory = directory / "run"
    (run_directory / "weights").mkdir(parents=True)
    (directory / "last.pt").hardlink_to(outbox["last.pt"])
    (run_directory / "results.csv").write_bytes(outbox["results.csv"].read_bytes())
    (run_directory / "weights" / "best.pt").write_bytes(
        (earlier.directory / "run" / newest_best).read_bytes()
    )
    job = JobFile.model_validate_json((earlier.directory / "job.json").read_bytes())
    changes = {
        "attempt": 2,
        "run_directory": run_directory,
        "resume_from": directory / "last.pt",
    }
    return job.model_copy(update=changes)


def weights_in(file: Path, part: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint's part, in the precision of published weights."""
    model = torch.load(file, weights_only=False)[part]
    return dict(model.half().state_dict())


def results_of(process: TrainerProcess) -> list[str]:
    return (process.directory / "run" / "results.csv").read_text().splitlines()


def kinds_but_plots(final: FinalEvent) -> dict[str, str]:
    """Return the kept files without plots: a resume does not repeat the plots of batches."""
    return {file.name: file.kind for file in final.artifacts if file.kind is not ArtifactKind.PLOT}


def without_plots(event: FinalEvent) -> dict[str, Any]:
    return event.model_dump(exclude={"seq", "at", "artifacts"})
