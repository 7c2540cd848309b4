"""A plot that cannot be drawn is a warning; names of classes are drawn as they are written."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ultralytics.utils import metrics

from worker.trainer.mixins.plot_failures import PlotFailures
from worker.trainer.protocol import Event, WarningEvent
from worker.trainer.upstream import DRAWN_BY_METRICS, draw_text_as_written

ODD = (
    "$a^b^c$",
    "$\\frac$",
    "%",
    "{}",
    "\\",
    "_hidden",
    "\U0001f600" * 200,
    "\u202eabc",
    "a\nb",
    "$",
)


class Pipe:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


class Run:
    def __init__(self) -> None:
        self.pipe = Pipe()


class Stock:
    """A FAKE: a trainer whose plots all fail."""

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.overrides = overrides

    def plot_metrics(self) -> None:
        raise ValueError("a formula")

    def plot_training_labels(self) -> None:
        raise RuntimeError("no font")

    def plot_training_samples(self, batch: object, ni: int) -> None:
        raise KeyError(ni, batch)

    def get_validator(self) -> "Validator":
        return Validator()


class Validator:
    """A FAKE: a validator whose plots fail."""

    def plot_val_samples(self) -> None:
        raise ValueError("a formula")

    def plot_predictions(self) -> None:
        raise ValueError("a formula")


class Trainer(PlotFailures, Stock):  # type: ignore[misc]  # a fake instead of a task's trainer
    pass


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    for owner, name in DRAWN_BY_METRICS:
        monkeypatch.setattr(owner, name, getattr(owner, name))  # undone at the end
    made = type("Made", (Trainer,), {"run": Run()})
    built: Trainer = made(overrides={})
    return built


def warned(trainer: Trainer) -> list[str]:
    assert isinstance(trainer.run.pipe, Pipe)
    return [each.message for each in trainer.run.pipe.events if isinstance(each, WarningEvent)]


def curves(names: dict[int, str], folder: Path) -> None:
    px, many = np.linspace(0, 1, 20), np.ones((len(names), 20))
    metrics.plot_mc_curve(px, many, folder / "mc.png", names)
    metrics.plot_pr_curve(px, list(many), np.ones((len(names), 10)), folder / "pr.png", names)


class TestPlotFailures:
    def test_the_training_goes_on_with_a_warning_for_each_kind_of_plot(
        self, trainer: Trainer
    ) -> None:
        for ni in range(3):
            trainer.plot_training_samples({}, ni)
            trainer.plot_training_labels()
            trainer.plot_metrics()
            trainer.get_validator().plot_val_samples()
            trainer.get_validator().plot_predictions()

        assert [message.partition(":")[0] for message in warned(trainer)] == [
            f"A plot could not be drawn ({name})"
            for name in (
                "plot_training_samples", "plot_training_labels", "plot_metrics",
                "plot_val_samples", "plot_predictions",
            )
        ]  # fmt: skip

    def test_curves_and_matrices_that_fail_are_left_out(
        self, trainer: Trainer, tmp_path: Path
    ) -> None:
        matrix = metrics.ConfusionMatrix(names={0: "a"})

        matrix.plot(save_dir=tmp_path / "missing")  # Ultralytics itself logs this failure
        curves({0: "a"}, tmp_path / "missing")

        assert len(warned(trainer)) == 2

    def test_a_trainer_that_is_built_again_warns_in_its_own_name(
        self, trainer: Trainer, tmp_path: Path
    ) -> None:
        again = type(trainer)(overrides={})

        curves({0: "a"}, tmp_path / "missing")

        assert len(warned(again)) == 2


class TestNames:
    @pytest.fixture(autouse=True)
    def _as_written(self) -> None:
        draw_text_as_written()
        assert not mpl.rcParams["text.parse_math"]

    @pytest.mark.filterwarnings("ignore")
    def test_odd_names_of_classes_are_drawn(self, tmp_path: Path) -> None:
        names = dict(enumerate(ODD))

        curves(names, tmp_path)
        metrics.ConfusionMatrix(names=names).plot(save_dir=tmp_path)

        assert {path.name for path in tmp_path.iterdir()} == {
            "mc.png", "pr.png", "confusion_matrix_normalized.png",
        }  # fmt: skip

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore")
    @settings(max_examples=15, deadline=None)
    @given(name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=100))
    def test_any_name_is_drawn(self, tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
        curves({0: name}, tmp_path_factory.mktemp("plots"))
