"""A job that continues from another job's state with more epochs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.tasks import Task
from tests.worker.trainer.customizations.in_process import Training, next_attempt, train_here
from tests.worker.trainer.jobs import a_job
from tests.worker.trainer.resume.exactness import Traced, differences, first_difference
from tests.worker.trainer.resume.extending import SeeingMosaic, extended

JOINT, TOTAL = 2, 6


@pytest.fixture(scope="module")
def parent(drawn: Callable[[Task], Path], tmp_path_factory: pytest.TempPathFactory) -> Training:
    train = {"epochs": JOINT, "nbs": 8, "close_mosaic": 1, "optimizer": "auto", "lr0": None}
    return train_here(a_job(drawn("detect"), tmp_path_factory.mktemp("parent"), train=train))


@pytest.fixture(scope="module")
def child(parent: Training, tmp_path_factory: pytest.TempPathFactory) -> Training:
    job = extended(parent, tmp_path_factory.mktemp("child"), TOTAL, joint=JOINT)
    job = job.model_copy(update={"state_every": 1})
    return train_here(job, watching=(Traced, SeeingMosaic))


class TestExtending:
    def test_an_extension_trains_the_added_epochs_and_keeps_the_rows_before(
        self, parent: Training, child: Training
    ) -> None:
        assert [event.mode for event in child.of("resumed")] == ["exact"]
        assert [event.epoch for event in child.of("epoch")] == [3, 4, 5, 6]
        assert child.rows[:JOINT] == parent.rows
        assert child.of("started")[0].optimizer == parent.of("started")[0].optimizer

    def test_an_extension_plans_the_rates_for_the_new_total(
        self, parent: Training, child: Training
    ) -> None:
        lr0 = parent.trainer.args.lr0
        rates = [float(row["lr/pg0"]) for row in child.rows[JOINT:]]

        shares = [1 - epoch / TOTAL for epoch in range(JOINT, TOTAL)]
        expected = [lr0 * (share * 0.99 + 0.01) for share in shares]
        assert rates == pytest.approx(expected, rel=1e-4)
        assert rates[0] > float(parent.rows[-1]["lr/pg0"])

    def test_an_extension_opens_the_mosaic_again_until_near_the_new_end(
        self, parent: Training, child: Training
    ) -> None:
        assert child.trainer.mosaic_in == [3, 4, 5]
        assert parent.trainer.args.close_mosaic == 1

    @pytest.mark.slow
    def test_an_extension_weighs_the_heads_of_an_end_to_end_loss_by_the_new_total(
        self, child: Training
    ) -> None:
        criterion = child.trainer.model.criterion

        assert criterion.updates == TOTAL
        assert criterion.o2m == pytest.approx(criterion.decay(TOTAL))

    def test_an_extension_keeps_the_best_of_both_trainings(
        self, parent: Training, child: Training
    ) -> None:
        best = [event.best_fitness for event in (*parent.of("epoch"), *child.of("epoch"))]

        assert best == sorted(best)
        assert child.of("epoch")[0].best_fitness >= parent.of("epoch")[-1].best_fitness

    @pytest.mark.slow
    def test_a_killed_extension_continues_exactly_from_its_own_states(
        self, child: Training, tmp_path: Path
    ) -> None:
        once = train_here(next_attempt(child, tmp_path / "1", epoch=4), watching=(Traced,))
        twice = train_here(next_attempt(once, tmp_path / "2", epoch=5), watching=(Traced,))

        for each in (once, twice):
            assert [event.mode for event in each.of("resumed")] == ["exact"]
            assert first_difference(child.trainer.trace, each.trainer.trace) is None
            assert differences(child.directory, each.directory) == []

    @pytest.mark.parametrize(
        ("more", "mode"),
        [
            (0, "exact"),
            pytest.param(3, "exact", marks=pytest.mark.slow),
            pytest.param(0, "plain", marks=pytest.mark.slow),
            pytest.param(3, "plain", marks=pytest.mark.slow),
        ],
    )
    @pytest.mark.slow
    def test_an_extension_of_a_job_that_stopped_early_restarts_its_patience(
        self, more: int, mode: str, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        train = {"epochs": 7, "patience": 2, "lr0": 1e-9}
        stopped = train_here(
            a_job(drawn("classify"), tmp_path / "first", task="classify", train=train)
        )
        done = len(stopped.of("epoch"))
        job = extended(stopped, tmp_path / "second", 7 + more, joint=done)
        if mode == "plain":
            job = job.model_copy(update={"state_from": None})

        longer = train_here(job)

        assert done < 7
        assert [event.mode for event in longer.of("resumed")] == [mode]
        assert len(longer.of("epoch")) == min(2, 7 + more - done)
