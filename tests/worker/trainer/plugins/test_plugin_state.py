"""Trainer plugins that keep their own state, and resumed jobs that use them."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.core.tasks import Task
from app.jobs.spec.job_spec import TrainerChoice
from tests.plugins import write_plugin
from tests.worker.trainer.customizations.in_process import Training, next_attempt, train_here
from tests.worker.trainer.jobs import a_job
from tests.worker.trainer.resume.exactness import Traced, differences, first_difference
from worker.trainer.protocol import ArchitectureSource, JobFile

SMALL = ArchitectureSource(name="yolov8n.yaml")
# Over all epochs, each image is darker than the previous one: the epoch number does not give it.
PLUGIN = """
from ultralytics.data.build import InfiniteDataLoader

from worker.trainer.plugins import TrainerPlugin


class Darkening:
    dark_images = 0

    def preprocess_batch(self, batch):
        batch = super().preprocess_batch(batch)
        self.dark_images += len(batch["img"])
        batch["img"] = batch["img"] * (1 - self.dark_images / 1000)
        return batch


class OwnLoader(InfiniteDataLoader):
    pass


class Reloading:
    def get_dataloader(self, *arguments, **options):
        loader = super().get_dataloader(*arguments, **options)
        loader.__class__ = OwnLoader
        return loader


class Loading(TrainerPlugin):
    mixins = (Reloading,)


class Silent(TrainerPlugin):
    mixins = (Darkening,)
    keeps_state = True


class Saving(Silent):
    @classmethod
    def save_state(cls, trainer):
        return {"images": trainer.dark_images}

    @classmethod
    def load_state(cls, trainer, state):
        trainer.dark_images = state["images"]


class Strange(Saving):
    @classmethod
    def save_state(cls, trainer):
        return {"trainer": trainer}
"""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install all plugins on this process's path, under the names of their classes."""
    folder = tmp_path_factory.mktemp("plugins")
    for name in ("Silent", "Saving", "Strange", "Loading"):
        code = PLUGIN + f"\n\nPlugin = {name}\n"
        write_plugin(folder, code, name=name.lower(), package=f"darkening_{name.lower()}")
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def whole(
    plugins: None, drawn: Callable[[Task], Path], tmp_path_factory: pytest.TempPathFactory
) -> Training:
    assert plugins is None
    job = a_job(
        drawn("detect"),
        tmp_path_factory.mktemp("whole"),
        train={"epochs": 3, "imgsz": 32},
        model=SMALL,
        facts={"architecture": SMALL.name},
        state_every=1,
    )
    return train_here(with_plugin(job, "saving"), watching=(Traced,))


def with_plugin(job: JobFile, name: str) -> JobFile:
    choice = TrainerChoice.model_validate({"name": name})
    return job.model_copy(update={"spec": job.spec.model_copy(update={"trainer": choice})})


class TestStateOfPlugins:
    @pytest.mark.slow
    def test_plugin_state_that_is_saved_is_loaded_again(
        self, whole: Training, tmp_path: Path
    ) -> None:
        once = train_here(next_attempt(whole, tmp_path / "1", epoch=1), watching=(Traced,))
        twice = train_here(next_attempt(once, tmp_path / "2", epoch=2), watching=(Traced,))

        for each in (once, twice):
            assert [event.mode for event in each.of("resumed")] == ["exact"]
            assert first_difference(whole.trainer.trace, each.trainer.trace) is None
            assert differences(whole.directory, each.directory) == []

    @pytest.mark.slow
    def test_plugin_state_that_is_not_loaded_changes_the_training(
        self, whole: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plugin = importlib.import_module("darkening_saving").Saving
        monkeypatch.setattr(plugin, "load_state", classmethod(lambda _cls, _trainer, _state: None))

        resumed = train_here(next_attempt(whole, tmp_path, epoch=1), watching=(Traced,))

        assert first_difference(whole.trainer.trace, resumed.trainer.trace) is not None

    @pytest.mark.slow
    def test_plugin_state_that_is_not_saved_makes_the_resume_plain(
        self, whole: Training, tmp_path: Path
    ) -> None:
        job = with_plugin(next_attempt(whole, tmp_path, epoch=2), "silent")

        resumed = train_here(job)

        (said,) = resumed.of("resumed")
        assert (said.mode, said.reason) == ("plain", "unsaved_plugin_state")
        assert "state.pt" not in resumed.of("checkpoint")[-1].files

    @pytest.mark.slow
    def test_a_plugin_with_a_loader_of_its_own_resumes_plainly(
        self, whole: Training, tmp_path: Path
    ) -> None:
        first = whole.job.model_copy(update={"run_directory": tmp_path / "first" / "run"})
        earlier = train_here(with_plugin(first, "loading"))

        resumed = train_here(next_attempt(earlier, tmp_path / "second", epoch=2))

        assert not any("state.pt" in event.files for event in earlier.of("checkpoint"))
        (said,) = resumed.of("resumed")
        assert (said.mode, said.reason) == ("plain", "unknown_loader")

    @pytest.mark.slow
    def test_plugin_state_that_is_no_plain_data_is_refused(
        self, whole: Training, tmp_path: Path
    ) -> None:
        job = whole.job.model_copy(update={"run_directory": tmp_path / "run"})

        with pytest.raises(TypeError, match="plain data"):
            train_here(with_plugin(job, "strange"))
