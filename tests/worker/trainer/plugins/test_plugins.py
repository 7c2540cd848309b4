"""Trainer plugins in training: the installed example, and small plugins with errors."""

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import pytest
from ultralytics.engine import trainer as upstream

from app.core.tasks import Task
from app.jobs.spec.customize import BestModel
from app.jobs.spec.job_spec import TrainerChoice
from tests.plugins import install_example, write_plugin
from tests.worker.trainer.customizations.combinations import (
    ALL,
    FIVE,
    Watched,
    a_customized_job,
)
from tests.worker.trainer.customizations.in_process import (
    Heard,
    Training,
    differing_tensors,
    next_attempt,
    train_here,
)
from tests.worker.trainer.drawn_datasets import CLASSES
from tests.worker.trainer.jobs import a_job
from worker.trainer.compose import INNERMOST, TASK_TRAINERS, compose_trainer
from worker.trainer.errors import BadData, BadSpec, diagnose
from worker.trainer.interrupts import Interrupts
from worker.trainer.mixins.plugin_callbacks import PluginCallbacks
from worker.trainer.plugins.interface import (
    TRAINER_EVENTS,
    PluginFailed,
    PluginOptions,
    PluginUnusable,
    TrainerPlugin,
    failures_named,
    plugin_of,
)
from worker.trainer.protocol import JobFile
from worker.trainer.run import TrainerMixin, TrainingRun

FREEZE: Mapping[str, object] = MappingProxyType({"freeze": {"layers": "backbone", "epochs": 1}})
SHARE = "grayscale/share"
SOME = 0.5

Trainings = Callable[[float | None], Training]


def with_plugin(job: JobFile, name: str = "mine", **options: object) -> JobFile:
    choice = TrainerChoice.model_validate({"name": name, "options": options})
    return job.model_copy(update={"spec": job.spec.model_copy(update={"trainer": choice})})


def chosen_by_share(job: JobFile) -> JobFile:
    """Return the job with a best model whose epoch has the lowest share of grey images."""
    best = BestModel(metric=SHARE, direction="lower")
    customize = job.spec.customize.model_copy(update={"best_model": best})
    return job.model_copy(update={"spec": job.spec.model_copy(update={"customize": customize})})


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install the example, put its folder on this process's path, and yield the folder."""
    folder = install_example(tmp_path_factory.mktemp("installed") / "packages")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("trainyard_grayscale", None)


@pytest.fixture(scope="module")
def trainings(
    example: Path,
    drawn: Callable[[Task], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Trainings:
    """Return a function that trains a job without the plugin (None), or with a probability.

    It trains each job once.
    """
    assert example.is_dir()

    @cache
    def train(probability: float | None) -> Training:
        job = a_job(drawn("detect"), tmp_path_factory.mktemp("job"), customize=dict(FREEZE))
        if probability is not None:
            job = with_plugin(job, "grayscale", probability=probability)
        return train_here(job if probability != SOME else chosen_by_share(job))

    return train


def losses(training: Training) -> list[dict[str, str]]:
    return [{name: text for name, text in row.items() if name != SHARE} for row in training.rows]


class TestTheExample:
    def test_every_run_makes_optimizer_steps(self, trainings: Trainings) -> None:
        for probability in (0.0, SOME):
            trainings(probability).assert_it_trained()

    @pytest.mark.slow
    def test_the_example_plugin_with_probability_0_changes_no_training(
        self, trainings: Trainings
    ) -> None:
        assert losses(trainings(0.0)) == losses(trainings(None))
        assert differing_tensors(trainings(0.0).trainer.last, trainings(None).trainer.last) == []

    def test_the_option_of_the_example_plugin_changes_the_training(
        self, trainings: Trainings
    ) -> None:
        assert losses(trainings(SOME))[0] != losses(trainings(0.0))[0]
        assert differing_tensors(trainings(SOME).trainer.last, trainings(0.0).trainer.last)

    def test_the_metric_of_the_example_plugin_is_a_column_and_in_the_epochs_event(
        self, trainings: Trainings
    ) -> None:
        column = [float(row[SHARE]) for row in trainings(SOME).rows]

        assert column == [event.metrics[SHARE] for event in trainings(SOME).of("epoch")]
        assert all(0 < share < 1 for share in column)
        assert [row[SHARE] for row in trainings(0.0).rows] == ["0", "0"]

    @pytest.mark.slow
    def test_freezing_beside_the_example_plugin_works_as_without_it(
        self, trainings: Trainings
    ) -> None:
        told = {key: [event.code for event in trainings(key).of("notice")] for key in (None, SOME)}

        assert told[SOME] == told[None]
        assert told[None]

    def test_all_five_customizations_show_their_effects_over_the_example_plugin(
        self, example: Path, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        assert example.is_dir()
        job = with_plugin(a_customized_job(drawn("detect"), tmp_path, ALL), "grayscale")

        run = train_here(job, watching=(Watched,))

        run.assert_it_trained()
        assert all(0 <= float(row[SHARE]) <= 1 for row in run.rows)
        for each in FIVE:
            each.shows(run)

    def test_the_metric_of_the_example_plugin_can_choose_the_best_epoch(
        self, trainings: Trainings
    ) -> None:
        shares = [event.metrics[SHARE] for event in trainings(SOME).of("epoch")]
        (final,) = trainings(SOME).of("final")

        assert shares[0] != shares[1]
        assert final.best_epoch == 1 + shares.index(min(shares))

    @pytest.mark.slow
    def test_a_resumed_job_draws_for_an_epoch_what_it_would_have_drawn(
        self, trainings: Trainings, tmp_path: Path
    ) -> None:
        job = next_attempt(trainings(SOME), tmp_path, epoch=1)

        resumed = train_here(job)

        assert [row[SHARE] for row in resumed.rows] == [row[SHARE] for row in trainings(SOME).rows]


MIXIN = """
from worker.trainer.errors import BadData
from worker.trainer.plugins import PluginOptions, TrainerPlugin

class Mixin:
    {method}

class Plugin(TrainerPlugin):
    mixins = (Mixin,)
"""
OWN_NAMES = """
    def __init__(self, *a, **k):
        self._steps = self._row = self._pace = self._batch = None
        super().__init__(*a, **k)

    def set_class_weights(self):
        self.said = [self._weights(), self._report()]
        super().set_class_weights()

    def _weights(self): return "mine"

    def _report(self): return "mine"
"""
Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    def write(code: str) -> None:
        monkeypatch.syspath_prepend(str(write_plugin(tmp_path / "packages", code)))

    yield write
    sys.modules.pop("mine_pkg", None)


def composed(job: JobFile) -> type[TrainerMixin]:
    return compose_trainer(TrainingRun(job, Heard(), Interrupts()))


class TestComposition:
    def test_classes_of_a_plugin_are_right_above_the_tasks_trainer(
        self, install: Install, tmp_path: Path
    ) -> None:
        install(MIXIN.format(method="kind = 1"))

        names = [each.__name__ for each in composed(with_plugin(a_job(tmp_path, tmp_path))).__mro__]

        below = names[names.index(INNERMOST[-1].__name__) :]
        own = [each for each in below if each not in {"TrainerMixin", "TrainerHooks", "object"}]
        assert own[:5] == [
            "PreparedData",
            "CallbacksOfPlugin",
            "PluginCallbacks",
            "Mixin",
            "DetectionTrainer",
        ]

    def test_a_trainer_of_its_own_takes_the_place_of_ultralytics(
        self, install: Install, tmp_path: Path
    ) -> None:
        install("""
from ultralytics.models.yolo.detect import DetectionTrainer
from worker.trainer.plugins import TrainerPlugin

class Own(DetectionTrainer): pass

class Plugin(TrainerPlugin):
    @classmethod
    def trainer_for(cls, task):
        return Own if task == "detect" else None
""")

        detect = composed(with_plugin(a_job(tmp_path, tmp_path)))
        segment = composed(with_plugin(a_job(tmp_path, tmp_path, task="segment")))

        assert [each.__name__ for each in detect.__mro__].count("Own") == 1
        assert issubclass(segment, TASK_TRAINERS["segment"])

    def test_options_come_validated_and_with_defaults(
        self, install: Install, tmp_path: Path
    ) -> None:
        install("""
from worker.trainer.plugins import PluginOptions, TrainerPlugin

class Options(PluginOptions):
    shade: int = 3

class Plugin(TrainerPlugin):
    Options = Options
""")

        job = with_plugin(a_job(tmp_path, tmp_path))

        assert composed(job).plugin_options.shade == 3  # type: ignore[attr-defined] # by the plugin
        with pytest.raises(BadSpec, match=r"trainer\.options\.shade"):
            composed(with_plugin(job, shade="dark"))
        with pytest.raises(BadSpec, match=r"trainer\.options\.hue"):
            composed(with_plugin(job, hue=1))

    @pytest.mark.slow
    def test_names_that_trainyard_uses_for_itself_are_free_for_a_plugin(
        self, install: Install, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        install(MIXIN.format(method=OWN_NAMES))
        asked = {"class_weights": {"mode": "explicit", "weights": {CLASSES[0]: 2.0}}}
        plain = a_job(drawn("detect"), tmp_path / "plain", train={"epochs": 1}, customize=asked)
        same = plain.model_copy(update={"run_directory": tmp_path / "run"})

        run = train_here(with_plugin(same))

        run.assert_it_trained()
        assert run.trainer.said == ["mine", "mine"]
        assert losses(run) == losses(train_here(plain))

    def test_a_job_without_a_plugin_has_none_of_this(self, tmp_path: Path) -> None:
        assert PluginCallbacks not in composed(a_job(tmp_path, tmp_path)).__mro__


class TestUnusable:
    def test_a_plugin_that_is_not_installed_here_is_unusable(self) -> None:
        with pytest.raises(PluginUnusable, match="No installed package"):
            plugin_of(TrainerChoice(name="nowhere"), "detect")

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("import nothing_of_the_kind", "nothing_of_the_kind"),
            ("class Plugin: pass", "not a subclass"),
            (MIXIN.format(method="") + "    tasks = frozenset({'pose'})", "not for detect"),
            (MIXIN.format(method="") + "    mixins = (Mixin, Mixin)", "cannot be combined"),
            (
                MIXIN.format(method="") + "    trainer_for = classmethod(lambda cls, task: dict)",
                "not derived from DetectionTrainer",
            ),
            (
                MIXIN.format(method="def hook_after_epoch(self): pass"),
                "mixins define reserved names: hook_after_epoch",
            ),
            (
                MIXIN.format(method="") + "    trainer_for = classmethod(lambda *_: with_a_hook())"
                "\n\ndef with_a_hook():\n"
                "    from ultralytics.models.yolo.detect import DetectionTrainer\n"
                "    return type('Own', (DetectionTrainer,), {'hook_before_lunch': None})",
                "Own, which defines reserved names: hook_before_lunch",
            ),
        ],
        ids=["import", "no-plugin", "task", "classes", "trainer", "hook", "hook-of-trainer"],
    )
    def test_a_package_that_is_no_plugin_for_the_job_is_unusable_with_the_reason(
        self, install: Install, tmp_path: Path, code: str, said: str
    ) -> None:
        install(code.replace("    \n", "    pass\n"))

        with pytest.raises(PluginUnusable, match=said) as raised:
            composed(with_plugin(a_job(tmp_path, tmp_path)))

        assert diagnose(raised.value).reason == "bad_spec"


class TestFailures:
    @pytest.mark.parametrize(
        "method",
        [
            "def get_dataloader(self, *a, **k): raise ValueError('my own fault')",
            "def get_model(self, *a, **k): return {}['my own fault']",
            "def preprocess_batch(self, batch): raise RuntimeError('my own fault')",
        ],
        ids=["where-data-is-loaded", "where-the-model-is-made", "in-training"],
    )
    def test_an_error_that_a_plugin_raises_is_the_plugins(
        self, install: Install, drawn: Callable[[Task], Path], tmp_path: Path, method: str
    ) -> None:
        install(MIXIN.format(method=method))
        job = with_plugin(a_job(drawn("detect"), tmp_path))

        with pytest.raises(PluginFailed) as raised, failures_named(job.spec.trainer):
            train_here(job)

        found = diagnose(raised.value)
        assert found.reason == "trainer_bug"
        assert found.message.startswith("The trainer plugin mine: ")
        assert "my own fault" in found.message
        assert "plugin" in found.hint

    def test_an_error_that_ultralytics_raises_below_a_plugin_keeps_its_name(
        self, install: Install, tmp_path: Path
    ) -> None:
        install(MIXIN.format(method="def get_dataset(self): return super().get_dataset()"))
        job = with_plugin(a_job(tmp_path / "no data here", tmp_path))

        with pytest.raises(BadData), failures_named(job.spec.trainer):
            train_here(job)

    def test_a_plugin_may_name_an_error_itself(
        self, install: Install, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        install(MIXIN.format(method="def get_dataset(self): raise BadData('too dark')"))
        job = with_plugin(a_job(drawn("detect"), tmp_path))

        with pytest.raises(BadData, match="too dark"), failures_named(job.spec.trainer):
            train_here(job)


class TestContract:
    def test_callbacks_can_name_what_ultralytics_runs_in_its_trainer(self) -> None:
        source = Path(str(upstream.__file__)).read_text(encoding="utf-8")

        assert {event for event in TRAINER_EVENTS if f'run_callbacks("{event}")' in source} == (
            TRAINER_EVENTS
        )
        assert source.count("self.run_callbacks(") == len(TRAINER_EVENTS) + 1  # one runs twice

    def test_a_bare_plugin_is_for_every_task_and_takes_no_options(self) -> None:
        assert frozenset(TASK_TRAINERS) == TrainerPlugin.tasks
        assert TrainerPlugin.Options is PluginOptions
        assert PluginOptions.model_fields == {}
