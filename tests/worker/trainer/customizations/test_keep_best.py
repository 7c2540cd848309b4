import math
from pathlib import Path
from typing import Any

import pytest
import torch

from app.jobs.spec.customize import KeepBest as Asked
from tests.worker.trainer.customizations.in_process import (
    Heard,
    Training,
    differing_tensors,
    train_here,
)
from tests.worker.trainer.drawn_datasets import draw_dataset
from tests.worker.trainer.jobs import a_job
from worker.trainer.customizations.keep_best import KeepBest, best_of, score
from worker.trainer.errors import BadSpec
from worker.trainer.interrupts import Interrupts
from worker.trainer.mixins.results import as_written, rows_of
from worker.trainer.run import TrainingRun

ROW = {"metrics/recall(B)": 0.8, "metrics/precision(B)": 0.9, "val/box_loss": 1.5}


def asked(metric: str, direction: str = "higher", /, **where: dict[str, float]) -> Asked:
    names = {"precision": "metrics/precision(B)", "loss": "val/box_loss"}
    bounds = {names[name]: each for name, each in where.items()}
    return Asked.model_validate(
        {"name": "mine", "metric": metric, "direction": direction, "where": bounds}
    )


class TestScore:
    @pytest.mark.parametrize(
        ("where", "counts"),
        [
            pytest.param({}, True, id="no-bounds"),
            pytest.param({"precision": {"min": 0.9}}, True, id="at-the-lower-bound"),
            pytest.param({"precision": {"min": 0.91}}, False, id="below"),
            pytest.param({"loss": {"max": 1.5}}, True, id="at-the-upper-bound"),
            pytest.param({"loss": {"max": 1.4}}, False, id="above"),
            pytest.param(
                {"precision": {"min": 0.5}, "loss": {"max": 1}}, False, id="one-of-two-not-met"
            ),
        ],
    )
    def test_a_score_counts_epochs_within_all_bounds(
        self, where: dict[str, dict[str, float]], *, counts: bool
    ) -> None:
        value = score(ROW, asked("metrics/recall(B)", **where))

        assert value == (0.8 if counts else None)

    def test_a_score_is_negated_where_lower_is_better(self) -> None:
        assert score(ROW, asked("val/box_loss", "lower")) == -1.5

    @pytest.mark.parametrize("lost", ["metrics/recall(B)", "metrics/precision(B)"])
    def test_a_score_of_nan_neither_wins_nor_meets_a_bound(self, lost: str) -> None:
        row = ROW | {lost: math.nan}

        assert score(row, asked("metrics/recall(B)", precision={"min": 0})) is None

    def test_the_error_of_a_score_names_the_missing_metric(self) -> None:
        with pytest.raises(BadSpec, match=r"mine in keep_best .* metrics/own"):
            score(ROW, asked("metrics/own"))


class TestBestOf:
    def test_the_best_epoch_has_the_highest_score_of_the_rows_that_count(self) -> None:
        rows = [ROW | {"metrics/recall(B)": value, "val/box_loss": value} for value in (1, 3, 2)]

        assert best_of(rows, asked("metrics/recall(B)", loss={"max": 2})) == 2
        assert best_of(rows, asked("metrics/recall(B)", loss={"max": 0})) is None


class Epochs:
    """A trainer that only writes a row and a last.pt for each epoch."""

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.wdir = Path(str(overrides["wdir"]))
        self.last = self.wdir / "last.pt"

    def save_metrics(self, metrics: dict[str, float]) -> None:
        self.metrics = metrics

    def save_model(self) -> bool:
        self.last.unlink(missing_ok=True)
        self.last.write_text(str(self.metrics))
        return True


class TestTies:
    def test_the_later_epoch_of_equal_values_is_kept_as_with_best_pt(self, tmp_path: Path) -> None:
        kept = [{"name": "mine", "metric": "metrics/recall(B)"}]
        job = a_job(tmp_path, tmp_path, customize={"keep_best": kept})
        run = TrainingRun(job, Heard(), Interrupts())
        trainer: Any = type("Kept", (KeepBest, Epochs), {"run": run})(overrides={"wdir": tmp_path})
        changed = []

        for epoch, value in enumerate((0.1, 0.5, 0.5, 0.4), 1):
            trainer.save_metrics({"metrics/recall(B)": value, "epoch": epoch})
            trainer.save_model()
            changed.append(trainer.kept_files["best_mine.pt"])

        assert changed == [True, True, True, False]
        assert (tmp_path / "best_mine.pt").read_text() == str(
            {"metrics/recall(B)": 0.5, "epoch": 3}
        )


class TestRows:
    def test_rows_are_read_as_they_were_written(self, tmp_path: Path) -> None:
        row = as_written({"a": 0.123456789, "b": math.nan, "c": 12345678})
        file = tmp_path / "results.csv"
        file.write_text("epoch,a,b,c\n1,0.123457,nan,1.23457e+07\n")

        (read,) = rows_of(file)

        assert (read["a"], read["c"]) == (row["a"], row["c"])
        assert math.isnan(read["b"])

    def test_a_missing_file_has_no_rows(self, tmp_path: Path) -> None:
        assert rows_of(tmp_path / "results.csv") == []


class TestKeepBest:
    @pytest.mark.parametrize(
        ("name", "metric", "sign"), [("tight", "val/l1_loss", -1), ("sure", "metrics/mAP50(B)", 1)]
    )
    def test_keep_best_keeps_the_weights_of_the_best_epoch(
        self, name: str, metric: str, sign: int, ours: Training
    ) -> None:
        values = {epoch: sign * float(row[metric]) for epoch, row in enumerate(ours.rows, 1)}
        best = max(values, key=lambda epoch: (values[epoch], epoch))
        file = f"best_{name}.pt"
        (artifact,) = [each for each in ours.of("final")[0].artifacts if each.name == file]
        last_of_then = ours.directory / f"outbox/{best:06d}-last.pt"

        kept = ours.directory / artifact.path

        ours.assert_it_trained()
        assert (artifact.kind, artifact.epoch) == ("weights", best)
        assert differing_tensors(kept, last_of_then) == []
        others = set(values) - {best}
        assert all(
            differing_tensors(kept, ours.directory / f"outbox/{epoch:06d}-last.pt")
            for epoch in others
        )

    def test_keep_best_hands_a_file_over_in_the_epochs_that_changed_it(
        self, ours: Training
    ) -> None:
        values = [-float(row["val/l1_loss"]) for row in ours.rows]
        improving = [value == max(values[: index + 1]) for index, value in enumerate(values)]

        handed_over = [bool(event.files["best_tight.pt"]) for event in ours.of("checkpoint")]

        assert handed_over == improving
        assert not all(improving)

    def test_a_finalized_file_of_keep_best_is_smaller_than_a_resumable_one(
        self, ours: Training
    ) -> None:
        stripped = ours.directory / "final" / "best_sure.pt"
        whole = ours.directory / "weights" / "best_sure.pt"

        assert stripped.stat().st_size < whole.stat().st_size * 0.75

    def test_an_unmet_condition_gives_a_notice_and_no_file(self, ours: Training) -> None:
        (notice,) = ours.of("notice")

        assert (notice.code, notice.data["name"]) == ("keep_best_unmet", "never")
        assert not list(ours.directory.rglob("*best_never*"))

    @pytest.mark.slow
    def test_a_resume_remembers_what_was_best(self, resumed: Training) -> None:
        final = {each.name: each.epoch for each in resumed.of("final")[0].artifacts}
        for file, metric, sign in (
            ("best_tight.pt", "val/l1_loss", -1),
            ("best_sure.pt", "metrics/mAP50(B)", 1),
        ):
            values = {epoch: sign * float(row[metric]) for epoch, row in enumerate(resumed.rows, 1)}

            assert final[file] == max(values, key=lambda epoch: (values[epoch], epoch))

    @pytest.mark.slow
    def test_a_resume_keeps_the_file_of_an_earlier_attempt(
        self, ours: Training, resumed: Training
    ) -> None:
        (before,) = [e.epoch for e in ours.of("final")[0].artifacts if e.name == "best_tight.pt"]
        assert before is not None
        assert before <= 2

        kept = resumed.directory / "final" / "best_tight.pt"

        assert differing_tensors(kept, ours.directory / f"outbox/{before:06d}-last.pt") == []
        assert all(event.files["best_tight.pt"] is None for event in resumed.of("checkpoint"))

    @pytest.mark.slow
    def test_depth_weights_are_calibrated_as_best_pt_is(self, tmp_path: Path) -> None:
        job = a_job(
            draw_dataset(tmp_path, "depth"),
            tmp_path,
            task="depth",
            train={"epochs": 1, "imgsz": 32},
            customize={"keep_best": [{"name": "close", "metric": "metrics/rmse"}]},
        )

        training = train_here(job)

        training.assert_it_trained()
        first, second = (
            torch.load(training.directory / "final" / name, weights_only=False)["depth_calibration"]
            for name in ("best.pt", "best_close.pt")
        )
        assert [second[name] for name in ("candidate", "a", "b")] == [
            first[name] for name in ("candidate", "a", "b")
        ]
