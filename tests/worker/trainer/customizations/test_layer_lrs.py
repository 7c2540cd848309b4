"""Learning rates by layer, compared at every step with an optimizer built by hand."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import pytest
from torch import nn, optim
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.optim import MuSGD

from app.core.tasks import Task
from app.jobs.spec.train_arguments import Optimizer
from tests.worker.trainer.customizations.in_process import (
    Training,
    differing_tensors,
    next_attempt,
    set_up_here,
    train_by_hand,
    train_here,
)
from tests.worker.trainer.jobs import a_job
from worker.trainer.errors import BadSpec
from worker.trainer.mixins.rates import labels_of
from worker.trainer.protocol import ArchitectureSource, JobFile
from worker.trainer.upstream import Untyped

MODEL = "yolov8n.yaml"  # its layers 0 to 9 are the backbone, 22 is the head
FACTORS = [{"layers": "backbone", "factor": 0.1}, {"layers": [0, 22], "factor": 0.5}]
STEPS_PER_EPOCH = 5
EPOCHS = 3

# A step of MuSGD takes over ten seconds on a CPU without bfloat16: only small layers of each part
# learn in its tests.
FROZEN_FOR_MUSGD = sorted(set(range(22)) - {0, 2, 15})

QUICK = {"SGD", "AdamW", "MuSGD", "auto"}
"""One optimizer of each kind; `make test` has no time for those that resemble AdamW."""

LASTING = ("initial_lr", "param_group", "use_muon", "weight_decay")

Options = dict[str, Any]
Recorded = list[dict[tuple[str, ...], Options]]


def factor_by_hand(name: str) -> float:
    layer = int(name.split(".")[1])
    if layer in {0, 22}:
        return 0.5
    return 0.1 if layer < 10 else 1.0


class RatesByHand(DetectionTrainer):
    """A user's trainer: it builds each group explicitly, for three optimizers."""

    def build_optimizer(  # Ultralytics' own signature
        self,
        model: nn.Module,
        name: str = "auto",
        lr: float = 0.001,
        momentum: float = 0.9,
        decay: float = 1e-5,
        iterations: float = 1e5,  # noqa: ARG002 -- only "auto" uses it
    ) -> optim.Optimizer:
        members: dict[tuple[str, float, float], list[nn.Parameter]] = defaultdict(list)
        head: Any = model.get_submodule("model.22")
        tripled = {id(each) for each in head.cv3.parameters()}
        for path, module in model.named_modules():
            for own_name, parameter in module.named_parameters(recurse=False):
                full = f"{path}.{own_name}"
                kind = "weight"
                if name == "MuSGD" and parameter.ndim in {2, 4}:
                    kind = "muon"
                elif "bias" in full:
                    kind = "bias"
                elif isinstance(module, nn.BatchNorm2d):
                    kind = "bn"
                times = 3 if name == "MuSGD" and id(parameter) in tripled else 1
                members[kind, factor_by_hand(full), times].append(parameter)
        groups = [
            {
                "params": parameters,
                "lr": lr * times * factor,
                "weight_decay": decay if kind in {"weight", "muon"} else 0.0,
                "param_group": kind,
                **({"use_muon": True} if kind == "muon" else {}),
            }
            for (kind, factor, times), parameters in members.items()
        ]
        if name == "AdamW":
            return optim.AdamW(groups, betas=(momentum, 0.999))
        if name == "MuSGD":
            return MuSGD(groups, momentum=momentum, nesterov=True, muon=0.2, sgd=1.0)
        return optim.SGD(groups, momentum=momentum, nesterov=True)


class Steps(DetectionTrainer):
    """Records, at every optimizer step, the options of each group by the names of its tensors."""

    def train(self) -> None:
        self.steps: Recorded = []
        super().train()  # type: ignore[no-untyped-call] # Ultralytics is untyped

    def optimizer_step(self) -> None:
        self.steps.append(groups_of(self))
        super().optimizer_step()  # type: ignore[no-untyped-call] # Ultralytics is untyped


class StepsByHand(Steps, RatesByHand):
    """A trainer written by hand whose steps are recorded."""


def groups_of(trainer: Untyped) -> dict[tuple[str, ...], Options]:
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    return {
        tuple(names[id(each)] for each in group["params"]): options_of(group)
        for group in trainer.optimizer.param_groups
    }


def options_of(group: Mapping[str, Any]) -> Options:
    return {name: value for name, value in group.items() if name != "params"}


@pytest.fixture(scope="module")
def job_of(
    drawn: Callable[[Task], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., JobFile]:
    """Return a function that creates a job with the factors above, or with other ones."""

    def make(
        train: Mapping[str, object] = MappingProxyType({}),
        *,
        architecture: str | None = MODEL,
        **customize: object,
    ) -> JobFile:
        return a_job(
            drawn("detect"),
            tmp_path_factory.mktemp("layer-lrs"),
            train={"epochs": EPOCHS} | dict(train),
            customize={"layer_lrs": FACTORS} | customize,
            facts={"architecture": architecture},
            model=ArchitectureSource(name=MODEL),
        )

    return make


@pytest.fixture(scope="module")
def thawing(job_of: Callable[..., JobFile]) -> Training:
    """Train three epochs by SGD with the factors above; the first two freeze the backbone."""
    job = job_of(freeze={"layers": "backbone", "epochs": 2})
    return train_here(job, watching=(Steps,))


@pytest.fixture(scope="module")
def recorded(job_of: Callable[..., JobFile]) -> Callable[..., Training]:
    """Return a function that records two epochs of training, once for each optimizer."""
    trainings: dict[tuple[str, float], Training] = {}

    def train(optimizer: str, warmup_epochs: float = 0) -> Training:
        case = (optimizer, warmup_epochs)
        if case not in trainings:
            frozen = FROZEN_FOR_MUSGD if optimizer == "MuSGD" else []
            freeze = {"layers": frozen} if frozen else None
            job = job_of({"warmup_epochs": warmup_epochs, "epochs": 2}, freeze=freeze)
            trainings[case] = train_here(with_optimizer(optimizer, job), watching=(Steps,))
            trainings[case].assert_it_trained()
        return trainings[case]

    return train


class TestGroups:
    @pytest.mark.parametrize(
        "name",
        [
            pytest.param(each, marks=() if each in QUICK else pytest.mark.slow)
            for each in get_args(Optimizer)
        ],
    )
    def test_groups_differ_from_stock_ones_by_the_factor_alone(
        self, name: str, job_of: Callable[..., JobFile]
    ) -> None:
        ours = set_up_here(with_optimizer(name, job_of()))

        stock = set_up_here(with_optimizer(name, job_of(layer_lrs=[])))
        expected = by_tensor(stock)
        assert by_tensor(ours) == {
            tensor: {
                **options,
                "lr": pytest.approx(options["lr"] * factor_by_hand(tensor)),
                "initial_lr": pytest.approx(options["initial_lr"] * factor_by_hand(tensor)),
            }
            for tensor, options in expected.items()
        }
        assert type(ours.optimizer) is type(stock.optimizer)
        assert ours.optimizer.defaults == stock.optimizer.defaults
        assert all(group["params"] for group in ours.optimizer.param_groups)

    def test_groups_of_a_layer_that_the_model_does_not_have_are_refused(
        self, job_of: Callable[..., JobFile]
    ) -> None:
        beyond = [{"layers": 2, "factor": 0.1}, {"layers": 24, "factor": 0.1}]

        with pytest.raises(BadSpec, match=r"customize\.layer_lrs\[1\]\.layers names layer 23"):
            set_up_here(job_of(layer_lrs=beyond, architecture=None))


class TestEveryStep:
    @pytest.mark.parametrize(
        ("optimizer", "warmup_epochs"),
        [
            pytest.param("SGD", 0, marks=pytest.mark.slow),
            pytest.param("MuSGD", 0, marks=pytest.mark.slow),
            pytest.param("AdamW", 0, marks=pytest.mark.slow),
            ("SGD", 1),
        ],
        ids=["SGD", "MuSGD", "AdamW", "SGD with warm-up"],
    )
    def test_every_step_has_the_rates_that_one_sets_by_hand(
        self,
        optimizer: str,
        warmup_epochs: int,
        recorded: Callable[..., Training],
        tmp_path: Path,
    ) -> None:
        ours = recorded(optimizer, warmup_epochs)

        frozen = FROZEN_FOR_MUSGD if optimizer == "MuSGD" else []
        by_hand = train_by_hand(StepsByHand, ours.job, tmp_path / "hand", freeze=frozen)
        assert len(ours.trainer.steps) == 2 * STEPS_PER_EPOCH
        assert rates_of(ours) == rates_of(by_hand)
        assert losses_of(ours) == losses_of(by_hand)
        last = ours.directory / "final" / "last.pt"
        assert differing_tensors(last, by_hand.directory / "weights" / "last.pt") == []

    @pytest.mark.parametrize(
        "optimizer",
        [
            pytest.param("SGD", marks=pytest.mark.slow),
            pytest.param("MuSGD", marks=pytest.mark.slow),
            pytest.param("AdamW", marks=pytest.mark.slow),
            "auto",
        ],
    )
    @pytest.mark.slow
    def test_every_step_uses_the_same_groups_after_a_resume(
        self, optimizer: str, recorded: Callable[..., Training], tmp_path: Path
    ) -> None:
        whole = recorded(optimizer)

        resumed = set_up_here(next_attempt(whole, tmp_path, epoch=1))

        assert resumed.start_epoch == 1
        assert type(resumed.optimizer) is type(whole.trainer.optimizer)
        assert resumed.rate_names == whole.trainer.rate_names
        assert lasting(groups_of(resumed)) == lasting(whole.trainer.steps[-1])
        moments = resumed.optimizer.state_dict()["state"]
        assert moments.keys() == whole.trainer.optimizer.state_dict()["state"].keys()

    @pytest.mark.slow
    def test_a_warm_up_begins_for_biases_where_the_arguments_say(
        self, job_of: Callable[..., JobFile]
    ) -> None:
        job = job_of({"warmup_epochs": 1, "warmup_bias_lr": 0.05, "epochs": 2})

        warmed = train_here(job, watching=(Steps,))

        first, second = (
            {(group["param_group"], group["initial_lr"]): group["lr"] for group in step.values()}
            for step in warmed.trainer.steps[:2]
        )
        assert {rate for (kind, _), rate in first.items() if kind == "bias"} == {0.05}
        assert {rate for (kind, _), rate in first.items() if kind != "bias"} == {0.0}
        assert second["weight", 0.01] == pytest.approx(second["weight", 0.001] * 10)

    @pytest.mark.slow
    def test_every_step_has_one_rate_without_factors(
        self, job_of: Callable[..., JobFile], thawing: Training
    ) -> None:
        plain = train_here(job_of(layer_lrs=[]), watching=(Steps,))

        plain.assert_it_trained()
        assert [len({group["lr"] for group in step.values()}) for step in plain.trainer.steps] == [
            1
        ] * (EPOCHS * STEPS_PER_EPOCH)
        assert losses_of(plain) != losses_of(thawing)


class TestFrozenLayers:
    def test_frozen_layers_learn_at_their_own_rate_once_they_are_unfrozen(
        self, thawing: Training
    ) -> None:
        notice = thawing.of("notice")

        thawing.assert_it_trained()
        assert [each.data["epoch"] for each in notice] == [3]
        learnt = {
            name
            for name, parameter in thawing.trainer.model.named_parameters()
            if thawing.trainer.optimizer.state[parameter].get("momentum_buffer") is not None
        }
        assert {int(name.split(".")[1]) for name in learnt} >= set(range(10))

    @pytest.mark.parametrize("done", [1, 2], ids=["before unfreezing", "at it"])
    @pytest.mark.slow
    def test_frozen_layers_have_the_same_groups_after_a_resume(
        self, done: int, thawing: Training, tmp_path: Path
    ) -> None:
        job = next_attempt(thawing, tmp_path, epoch=done)

        resumed = train_here(job, watching=(Steps,))

        resumed.assert_it_trained()
        assert resumed.trainer.steps == thawing.trainer.steps[done * STEPS_PER_EPOCH :]
        assert resumed.trainer.rate_names == thawing.trainer.rate_names
        assert [event.lr for event in resumed.of("epoch")] == [
            event.lr for event in thawing.of("epoch")
        ][done:]


class TestNamedRates:
    def test_named_rates_are_the_columns_of_results_csv_by_part_and_group(
        self, thawing: Training
    ) -> None:
        rates = [event.lr for event in thawing.of("epoch")]

        columns = [
            [float(row[f"lr/pg{place}"]) for place in range(len(thawing.trainer.rate_names))]
            for row in thawing.rows
        ]
        assert [list(each.values()) for each in rates] == columns
        assert rates[0] == {
            f"lr/{part}/{group}": rate
            for group in ("weight", "norm", "bias")
            for part, rate in (("backbone", 0.001), ("layers[0,22]", 0.005), ("rest", 0.01))
        }

    def test_named_rates_without_factors_are_those_of_the_rest(
        self, job_of: Callable[..., JobFile]
    ) -> None:
        trainer = set_up_here(job_of({"optimizer": "MuSGD"}, layer_lrs=[]))

        kinds = ("weight_x3", "weight", "norm_x3", "norm", "bias_x3", "bias")
        muon = ("weight_muon_x3", "weight_muon")
        assert trainer.rate_names == tuple(f"lr/rest/{kind}" for kind in (*kinds, *muon))

    def test_rates_of_an_optimizer_of_another_builder_are_named_by_position(self) -> None:
        assert labels_of([{"params": [], "lr": 0.1}, {"params": [], "lr": 0.2}]) == ("pg0", "pg1")

    def test_rates_of_groups_that_the_stock_builder_cannot_make_are_named_by_position(self) -> None:
        twice = [{"params": [], "lr": 0.1, "param_group": "bias"}] * 2

        assert labels_of(twice) == ("pg0", "pg1")


def with_optimizer(name: str, job: JobFile) -> JobFile:
    """Return the job with an optimizer; `auto` ignores the job's lr0."""
    train = job.spec.train.model_copy(update={"optimizer": name})
    return job.model_copy(update={"spec": job.spec.model_copy(update={"train": train})})


def lasting(groups: Mapping[tuple[str, ...], Options]) -> list[tuple[tuple[str, ...], Options]]:
    """Return the options of each group that no epoch changes, in order."""
    return [
        (names, {option: group.get(option) for option in LASTING})
        for names, group in groups.items()
    ]


def by_tensor(trainer: Untyped) -> dict[str, Options]:
    return {name: options for names, options in groups_of(trainer).items() for name in names}


def rates_of(training: Training) -> list[dict[frozenset[str], tuple[float, float]]]:
    """Return each group's rate and weight decay at each step, without an order of groups."""
    return [
        {
            frozenset(names): (options["lr"], options["weight_decay"])
            for names, options in step.items()
        }
        for step in training.trainer.steps
    ]


def losses_of(training: Training) -> list[dict[str, str]]:
    """Return the rows of results.csv without the rates, whose columns follow the group order."""
    return [
        {name: value for name, value in row.items() if not name.startswith("lr/")}
        for row in training.rows
    ]
