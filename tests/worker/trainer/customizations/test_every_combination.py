"""All subsets of the five on two architectures: each effect appears, and only in its runs."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest

from app.core.tasks import Task
from tests.worker.trainer.customizations.combinations import (
    ALL,
    FIVE,
    KEEPING,
    SIX,
    Customization,
    Watched,
    a_customized_job,
    class_loss,
    same_training,
)
from tests.worker.trainer.customizations.in_process import Training, train_here
from tests.worker.trainer.customizations.proving import verdict_of
from worker.trainer import compose
from worker.trainer.customizations.best_model import BestModel
from worker.trainer.customizations.class_weights import ClassWeights
from worker.trainer.customizations.freezing import Freezing
from worker.trainer.customizations.keep_best import KeepBest
from worker.trainer.customizations.layer_lrs import LayerRates
from worker.trainer.customizations.metrics import ClassMetrics
from worker.trainer.run import TrainerMixin

pytestmark = pytest.mark.integration

ARCHITECTURES = ("yolo26n.yaml", pytest.param("yolov8n.yaml", marks=pytest.mark.slow))
SUBSETS = [
    frozenset(names) for size in range(len(ALL) + 1) for names in combinations(sorted(ALL), size)
]


def _each_subset(*, quick_sizes: set[int]) -> pytest.MarkDecorator:
    """Mark subsets of other sizes as slow: `make test` has no time for the 64 trainings."""
    marks = {False: [pytest.mark.slow], True: []}
    return pytest.mark.parametrize(
        "names",
        [
            pytest.param(
                names, id="+".join(sorted(names)) or "plain", marks=marks[len(names) in quick_sizes]
            )
            for names in SUBSETS
        ],
    )


MADE_BY: dict[type[TrainerMixin], str] = {
    BestModel: "best_model",
    ClassMetrics: "metrics",
    ClassWeights: "class_weights",
    Freezing: "freeze",
    KeepBest: "keep_best",
    LayerRates: "layer_lrs",
}
Trainings = Callable[[frozenset[str]], Training]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def training_with(
    request: pytest.FixtureRequest,
    drawn: Callable[[Task], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Trainings:
    """Return a function that trains with the named customizations, once for each set."""
    done: dict[frozenset[str], Training] = {}

    def train(names: frozenset[str]) -> Training:
        if names not in done:
            directory = tmp_path_factory.mktemp("+".join(sorted(names)) or "plain")
            job = a_customized_job(drawn("detect"), directory, names, architecture=request.param)
            done[names] = train_here(job, watching=(Watched,))
            done[names].assert_it_trained()
        return done[names]

    return train


class TestSubsets:
    @_each_subset(quick_sizes={0, len(ALL)})
    def test_each_member_shows_its_effect_and_those_left_out_do_not(
        self, training_with: Trainings, names: frozenset[str]
    ) -> None:
        run = training_with(names)

        assert {each.name for each in FIVE if _shows(each, run)} == names

    @_each_subset(quick_sizes=set())
    def test_the_run_that_lacks_a_member_is_another_training_where_it_must_be(
        self, training_with: Trainings, names: frozenset[str]
    ) -> None:
        only_observes = {"metrics", "best_model"}

        differing = {
            name
            for name in names
            if not same_training(training_with(names), training_with(names - {name}))
        }

        assert differing == names - only_observes

    @pytest.mark.parametrize(
        "names", [pytest.param(frozenset({"class_weights"}), marks=pytest.mark.slow), ALL], ids=len
    )
    def test_the_loss_of_a_fixed_batch_is_what_the_weights_imply(
        self, training_with: Trainings, names: frozenset[str]
    ) -> None:
        run = training_with(names)
        plain, with_one_more = class_loss(run, (1.0, 1.0, 1.0)), class_loss(run, (1.0, 1.0, 2.0))

        weighted = class_loss(run)

        assert with_one_more > plain
        assert weighted == pytest.approx(plain + 4.0 * (with_one_more - plain), rel=1e-4)


class TestPortability:
    @pytest.mark.slow
    @pytest.mark.timeout(600)  # if this test runs first, it trains all subsets
    def test_every_best_pt_loads_safely_where_trainyard_is_not_installed(
        self, training_with: Trainings, tmp_path: Path
    ) -> None:
        copies = [tmp_path / f"{number}.pt" for number in range(len(SUBSETS))]
        for names, copy in zip(SUBSETS, copies, strict=True):
            copy.write_bytes(training_with(names).trainer.best.read_bytes())

        verdict = verdict_of(copies, tmp_path)

        assert verdict.failure is None
        assert verdict.checks.keys() == {copy.name for copy in copies}
        assert all(check.safe_load for check in verdict.checks.values())


class TestMutants:
    @pytest.mark.parametrize(
        "mixin", [mixin for mixin, _ in compose.CUSTOMIZATIONS], ids=lambda mixin: mixin.__name__
    )
    @pytest.mark.slow
    def test_a_mixin_that_is_dropped_is_missed(
        self,
        mixin: type[TrainerMixin],
        drawn: Callable[[Task], Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        rest = tuple(each for each in compose.CUSTOMIZATIONS if each[0] is not mixin)
        monkeypatch.setattr(compose, "CUSTOMIZATIONS", rest)
        job = a_customized_job(drawn("detect"), tmp_path, ALL | {KEEPING.name})

        run = train_here(job, watching=(Watched,))

        assert {each.name for each in SIX if not _shows(each, run)} == {MADE_BY[mixin]}


def _shows(customization: Customization, run: Training) -> bool:
    try:
        customization.shows(run)
    except AssertionError:
        return False
    return True
