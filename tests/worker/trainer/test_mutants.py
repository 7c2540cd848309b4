"""The mixins that every training has: without one of them, a training lacks its effect.

customizations/test_every_combination.py has the mutants of the customizations' mixins.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils import LOGGER

from app.core.tasks import Task
from app.jobs.spec.job_spec import ResolvedSpec
from tests.worker.trainer.customizations.in_process import Training, next_attempt, train_here
from tests.worker.trainer.drawn_datasets import TRAIN_IMAGES
from tests.worker.trainer.jobs import a_job
from worker.trainer import compose
from worker.trainer.errors import BadCheckpoint, BadData, BadSpec
from worker.trainer.interrupts import Interrupts
from worker.trainer.mixins.batch_plots import BatchPlots
from worker.trainer.mixins.checkpoints import Checkpoints
from worker.trainer.mixins.data_failures import DataFailures
from worker.trainer.mixins.divergence import Divergence
from worker.trainer.mixins.exact_resume import ExactResuming
from worker.trainer.mixins.finalizing import Finalizing
from worker.trainer.mixins.loader_notes import LoaderNotes
from worker.trainer.mixins.loader_wait import LoaderWait
from worker.trainer.mixins.log_rows import LogRows
from worker.trainer.mixins.named_failures import NamedFailures
from worker.trainer.mixins.plain_resume import Resuming
from worker.trainer.mixins.plot_failures import PlotFailures
from worker.trainer.mixins.prepared_data import PreparedData
from worker.trainer.mixins.reporting import Reporting
from worker.trainer.mixins.stopping import StopOnRequest
from worker.trainer.mixins.training_states import TrainingStates
from worker.trainer.protocol import ArchitectureSource, JobFile
from worker.trainer.run import TrainerMixin

pytestmark = pytest.mark.integration

EPOCHS: Final = 2


@pytest.fixture(scope="module")
def whole(drawn: Callable[[Task], Path], tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Train with all mixins."""
    directory = tmp_path_factory.mktemp("whole")
    model = ArchitectureSource(name="yolov8n.yaml")
    job = a_job(drawn("detect"), directory, train={"epochs": EPOCHS, "imgsz": 32}, model=model)
    training = train_here(job)
    training.assert_it_trained()
    return training


def again(whole: Training, directory: Path, **changes: object) -> JobFile:
    """Return the training's job, for a run in another directory."""
    return whole.job.model_copy(update={"run_directory": directory / "run"} | changes)


def with_arguments(whole: Training, **arguments: object) -> ResolvedSpec:
    train = whole.job.spec.train.model_copy(update=arguments)
    return whole.job.spec.model_copy(update={"train": train})


def knows_its_first_losses(whole: Training, directory: Path) -> bool:
    losses: list[float] | None = train_here(again(whole, directory)).trainer.first_losses
    return bool(losses)


def gives_its_artifacts(whole: Training, directory: Path) -> bool:
    finals = train_here(again(whole, directory)).of("final")
    return [each.artifacts != [] for each in finals] == [True]


def finalizes_what_had_trained_its_last_epoch(whole: Training, directory: Path) -> bool:
    job = next_attempt(whole, directory, epoch=EPOCHS).model_copy(update={"state_from": None})
    try:
        return train_here(job).of("epoch") == []
    except BadCheckpoint as error:
        assert "nothing to resume" in str(error)  # noqa: PT017 -- the text is Ultralytics' own
        return False


def goes_on_exactly(whole: Training, directory: Path) -> bool:
    resumed = train_here(next_attempt(whole, directory, epoch=EPOCHS)).of("resumed")
    return [each.mode for each in resumed] == ["exact"]


def leaves_a_state(whole: Training, directory: Path) -> bool:
    return "state.pt" in train_here(again(whole, directory)).of("checkpoint")[-1].files


def ends_when_asked(whole: Training, directory: Path) -> bool:
    asked = Interrupts(stop_requested=True)
    return len(train_here(again(whole, directory), interrupts=asked).of("epoch")) == 1


def hands_checkpoints_over(whole: Training, directory: Path) -> bool:
    return len(train_here(again(whole, directory)).of("checkpoint")) == EPOCHS


def hands_plots_over(whole: Training, directory: Path) -> bool:
    spec = with_arguments(whole, plots=True)
    first = train_here(again(whole, directory, spec=spec)).of("checkpoint")[0]
    return {f"train_batch{number}.jpg" for number in range(3)} <= set(first.files)


def tells_its_epochs(whole: Training, directory: Path) -> bool:
    return len(train_here(again(whole, directory)).of("epoch")) == EPOCHS


def logs_a_row_of_losses(whole: Training, directory: Path) -> bool:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    LOGGER.addHandler(handler)
    try:
        train_here(again(whole, directory))
    finally:
        LOGGER.removeHandler(handler)
    return any(line.split()[:1] == [f"1/{EPOCHS}"] for line in lines)


def names_a_batch_size_that_leaves_one_image(whole: Training, directory: Path) -> bool:
    spec = with_arguments(whole, batch=TRAIN_IMAGES - 1)
    try:
        train_here(again(whole, directory, spec=spec))
    except BadSpec:
        return True
    except ValueError:  # Ultralytics' own
        return False
    raise AssertionError("the last batch has one image of 32 pixels")


def names_what_is_wrong_with_data(whole: Training, directory: Path) -> bool:
    try:
        train_here(again(whole, directory, dataset_path=directory / "nothing"))
    except BadData:
        return True
    except RuntimeError:  # Ultralytics' own
        return False
    raise AssertionError("there is nothing to train on")


def knows_how_long_it_waited(whole: Training, directory: Path) -> bool:
    epochs = train_here(again(whole, directory)).of("epoch")
    return all(each.loader_wait_seconds > 0 for each in epochs)


def goes_on_without_a_plot(whole: Training, directory: Path) -> bool:
    def fails(*_: object) -> None:
        raise ArithmeticError("a name that cannot be drawn")

    job = again(whole, directory, spec=with_arguments(whole, plots=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DetectionTrainer, "plot_training_samples", fails)
        try:
            training = train_here(job)
        except ArithmeticError:
            return False
    return [each.code for each in training.of("warning")] == ["plot_failed"]


def warns_that_it_has_no_arrays(whole: Training, directory: Path) -> bool:
    spec = with_arguments(whole, cache="disk")
    training = train_here(again(whole, directory, spec=spec, without_arrays="no room"))
    return [each.code for each in training.of("warning")] == ["no_disk_cache"]


WHAT_FOR: Final[dict[type[TrainerMixin], Callable[[Training, Path], bool]]] = {
    Divergence: knows_its_first_losses,
    Finalizing: gives_its_artifacts,
    Resuming: finalizes_what_had_trained_its_last_epoch,
    ExactResuming: goes_on_exactly,
    Checkpoints: hands_checkpoints_over,
    TrainingStates: leaves_a_state,
    StopOnRequest: ends_when_asked,
    BatchPlots: hands_plots_over,
    Reporting: tells_its_epochs,
    LogRows: logs_a_row_of_losses,
    LoaderNotes: leaves_a_state,
    NamedFailures: names_a_batch_size_that_leaves_one_image,
    DataFailures: names_what_is_wrong_with_data,
    LoaderWait: knows_how_long_it_waited,
    PlotFailures: goes_on_without_a_plot,
    PreparedData: warns_that_it_has_no_arrays,
}


class TestMutants:
    def test_each_mixin_has_a_mutant(self) -> None:
        assert {*compose.AROUND, *compose.INNERMOST} == set(WHAT_FOR)

    @pytest.mark.parametrize(
        "mixin",
        [
            Divergence,
            Resuming,
            ExactResuming,
            TrainingStates,
            StopOnRequest,
            BatchPlots,
            LogRows,
            NamedFailures,
            DataFailures,
            LoaderWait,
            PlotFailures,
            PreparedData,
        ],
    )
    @pytest.mark.slow
    def test_a_training_that_lacks_nothing_does_what_each_is_for(
        self, mixin: type[TrainerMixin], whole: Training, tmp_path: Path
    ) -> None:
        assert WHAT_FOR[mixin](whole, tmp_path)
        assert len(whole.of("epoch")) == len(whole.of("checkpoint")) == EPOCHS
        assert [each.artifacts != [] for each in whole.of("final")] == [True]

    @pytest.mark.parametrize(
        "mixin", [*compose.AROUND, *compose.INNERMOST], ids=lambda mixin: mixin.__name__
    )
    @pytest.mark.slow
    def test_a_mixin_that_is_dropped_is_missed(
        self,
        mixin: type[TrainerMixin],
        whole: Training,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name in ("AROUND", "INNERMOST"):
            rest = tuple(each for each in getattr(compose, name) if each is not mixin)
            monkeypatch.setattr(compose, name, rest)

        assert not WHAT_FOR[mixin](whole, tmp_path)
