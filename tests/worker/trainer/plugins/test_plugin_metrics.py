"""A plugin's metric chooses the best model, even if it has no number in some epochs."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.core.tasks import Task
from app.jobs.spec.job_spec import JobSpec, SpecFacts, resolve_spec
from tests.plugins import write_plugin
from tests.worker.trainer.customizations.in_process import (
    Training,
    differing_tensors,
    next_attempt,
    train_here,
)
from tests.worker.trainer.drawn_datasets import CLASSES
from tests.worker.trainer.jobs import ARCHITECTURES, DATASET_VERSION, TINY, a_job
from worker.trainer.protocol import JobFile

SCORES = """
import math
from worker.trainer.plugins import TrainerPlugin

class Scores:
    def validate(self):
        metrics, fitness = super().validate()
        values = [math.nan, 0.5, 0.25, math.nan]
        return metrics | {"mine/score": values[self.epoch]}, fitness

class Plugin(TrainerPlugin):
    mixins = (Scores,)
"""
NUMBERS = [None, 0.5, 0.25, None]


@pytest.fixture(scope="module")
def scored(
    drawn: Callable[[Task], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Training]:
    """Train four epochs, the first and last without a score."""
    folder = write_plugin(tmp_path_factory.mktemp("plugin") / "packages", SCORES)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield train_here(a_scored_job(drawn("detect"), tmp_path_factory.mktemp("job")))
    sys.modules.pop("mine_pkg", None)


def a_scored_job(dataset: Path, directory: Path) -> JobFile:
    spec = JobSpec.model_validate(
        {
            "dataset": DATASET_VERSION,
            "model": ARCHITECTURES["detect"],
            "task": "detect",
            "train": TINY | {"epochs": len(NUMBERS), "imgsz": 32},
            "customize": {
                "best_model": {"metric": "mine/score", "direction": "higher"},
                "keep_best": [{"name": "low", "metric": "mine/score", "direction": "lower"}],
            },
            "trainer": {"name": "mine"},
        }
    )
    facts = SpecFacts(
        DATASET_VERSION, "detect", classes=CLASSES, architecture=ARCHITECTURES["detect"]
    )
    return a_job(dataset, directory, spec=resolve_spec(spec, facts))


class TestAScoreThatIsNoNumber:
    @pytest.mark.slow
    def test_a_score_that_is_no_number_never_wins(self, scored: Training) -> None:
        scored.assert_it_trained()

        assert [event.fitness for event in scored.of("epoch")] == NUMBERS
        assert [event.best_fitness for event in scored.of("epoch")] == [None, 0.5, 0.5, 0.5]
        (final,) = scored.of("final")
        assert (final.best_epoch, final.best_fitness) == (2, 0.5)
        last_of_then = scored.directory / "outbox/000002-last.pt"
        assert differing_tensors(scored.directory / "final/best.pt", last_of_then) == []
        kept = {each.name: each.epoch for each in final.artifacts}
        assert kept["best_low.pt"] == 3

    @pytest.mark.slow
    def test_a_score_that_is_no_number_is_warned_of_and_repeats_no_epoch(
        self, scored: Training
    ) -> None:
        warnings = [event.code for event in scored.of("warning")]

        assert warnings == ["metric_not_finite"] * 2
        assert [event.metrics["mine/score"] for event in scored.of("epoch")] == NUMBERS

    @pytest.mark.slow
    def test_a_score_that_is_no_number_before_a_kill_leaves_the_resume_without_a_best(
        self, scored: Training, tmp_path: Path
    ) -> None:
        resumed = train_here(next_attempt(scored, tmp_path, epoch=1))

        assert [event.fitness for event in resumed.of("epoch")] == NUMBERS[1:]
        assert resumed.of("final")[0].best_epoch == 2
