"""The planned optimizers of `app.jobs`, compared with those that Ultralytics builds and runs."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from torch import nn, optim
from ultralytics.engine.trainer import BaseTrainer

from app.core.tasks import Task
from app.jobs.plan.optimizer import Optimization, optimization_of
from app.jobs.spec.customize import Customize
from app.jobs.spec.job_spec import JobSpec, SpecFacts, resolve_spec
from app.jobs.spec.train_arguments import Optimizer, TrainArguments
from app.models.layer_tables import layer_table
from tests.models.generate_layer_tables import Parsed
from tests.worker.trainer.customizations.in_process import Training, train_here
from tests.worker.trainer.drawn_datasets import CLASSES
from tests.worker.trainer.jobs import DATASET_VERSION, a_job
from worker.trainer.mixins.rates import split_by_layer

OPTIMIZERS: tuple[str, ...] = get_args(Optimizer)
LONG = 700
"""Epochs of 1000 images, after which `auto` chooses MuSGD."""
MODELS: dict[str, Task] = {
    "yolo26n.yaml": "detect",
    "yolov8n-seg.yaml": "segment",
    "yolo26n-seg.yaml": "segment",
    "yolo26n-pose.yaml": "pose",
    "yolo26n-cls.yaml": "classify",
    "yolo26n-depth.yaml": "depth",
}
CUSTOMIZED: dict[str, object] = {
    "layer_lrs": [{"layers": "backbone", "factor": 0.1}, {"layers": [23], "factor": 2}],
    "freeze": {"layers": 5, "epochs": 1},
}


def foretold(
    architecture: str, *, customize: dict[str, object] | None = None, **train: object
) -> Optimization:
    task = MODELS[architecture]
    spec = JobSpec.model_validate(
        {
            "dataset": DATASET_VERSION,
            "model": architecture,
            "task": task,
            "train": train,
            "customize": customize,
        }
    )
    facts: dict[str, Any] = {"classes": CLASSES, "architecture": architecture}
    resolved = resolve_spec(spec, SpecFacts(DATASET_VERSION, task, **facts))
    layers = layer_table(architecture, classes=len(CLASSES))
    return optimization_of(resolved, layers, images=1000, classes=len(CLASSES))


def built(model: nn.Module, name: str, *, epochs: int) -> tuple[optim.Optimizer, SimpleNamespace]:
    """Return the stock builder's optimizer, and the arguments as the builder leaves them."""
    arguments = SimpleNamespace(optimizer=name, lr0=0.01, warmup_bias_lr=0.1)
    trainer: Any = SimpleNamespace(args=arguments, data={"nc": len(CLASSES)})
    optimizer = BaseTrainer.build_optimizer(  # type: ignore[no-untyped-call] # Ultralytics is untyped
        trainer, model, name=name, lr=0.01, momentum=0.937, decay=0.0005, iterations=16 * epochs
    )
    return optimizer, arguments


def rows_of(optimizer: optim.Optimizer) -> list[tuple[int, int, float, float]]:
    """Return each group's number of tensors and of parameters, rate and decay, in order."""
    return [
        (
            len(group["params"]),
            sum(tensor.numel() for tensor in group["params"]),
            group["lr"],
            group["weight_decay"],
        )
        for group in optimizer.param_groups
    ]


class TestBuiltOptimizer:
    @pytest.mark.parametrize("epochs", [100, LONG])
    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_every_number_of_its_groups_was_foretold(self, name: str, epochs: int) -> None:
        optimizer, arguments = built(Parsed("yolo26n.yaml", len(CLASSES)), name, epochs=epochs)

        plan = foretold("yolo26n.yaml", optimizer=name, epochs=epochs)

        assert plan.optimizer.name == type(optimizer).__name__
        assert plan.optimizer.lr0 == arguments.lr0
        assert plan.optimizer.warmup_bias_lr == arguments.warmup_bias_lr
        assert _foretold_rows(plan) == rows_of(optimizer)

    @pytest.mark.parametrize("name", ["SGD", "MuSGD"])
    @pytest.mark.parametrize("architecture", MODELS)
    def test_the_groups_of_every_kind_of_head_were_foretold(
        self, architecture: str, name: str
    ) -> None:
        optimizer, _ = built(Parsed(architecture, len(CLASSES)), name, epochs=100)

        plan = foretold(architecture, optimizer=name)

        assert _foretold_rows(plan) == rows_of(optimizer)

    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_the_parts_that_factors_split_them_into_were_foretold(self, name: str) -> None:
        model = Parsed("yolo26n.yaml", len(CLASSES))
        optimizer, _ = built(model, name, epochs=100)
        names = {id(tensor): full for full, tensor in model.named_parameters()}
        layer_lrs = Customize.model_validate(CUSTOMIZED).layer_lrs

        split = split_by_layer(
            optimizer.param_groups, names, layer_lrs=layer_lrs, backbone_layers=11
        )

        plan = foretold("yolo26n.yaml", customize=CUSTOMIZED, optimizer=name)
        assert [
            (rate, len(group["params"]), group["lr"], group["weight_decay"])
            for rate, group in split
        ] == [
            (group.name, group.tensors, pytest.approx(group.initial_rate), group.weight_decay)
            for group in plan.groups
        ]


class TestRun:
    @pytest.mark.parametrize(
        ("train", "customize"),
        [
            pytest.param(
                {"optimizer": "SGD", "nbs": 12, "cos_lr": True},
                None,
                id="cosine",
            ),
            pytest.param({"optimizer": "SGD", "nbs": 8}, CUSTOMIZED, id="factors"),
            pytest.param(
                {"optimizer": "MuSGD", "nbs": 16, "lr0": 0.002},
                CUSTOMIZED,
                id="factors under MuSGD",
            ),
            pytest.param({"optimizer": "AdamW", "nbs": 4, "fraction": 14}, None, id="part"),
        ],
    )
    @pytest.mark.slow
    def test_rates_groups_and_steps_of_a_run_with_warm_up_are_as_planned(
        self,
        drawn: Callable[[Task], Path],
        tmp_path: Path,
        train: dict[str, object],
        customize: dict[str, object] | None,
    ) -> None:
        arguments = {"epochs": 3, "imgsz": 32, "warmup_epochs": 1.5} | train
        job = a_job(drawn("detect"), tmp_path, train=arguments, customize=customize)

        run = train_here(job)

        assert_foretold(run)
        without = run.job.spec.train.model_copy(update={"warmup_epochs": 0.0})
        assert recorded_rates(run) != foretold_rates(plan_of(run, train=without))

    @pytest.mark.slow
    def test_rates_groups_and_steps_that_auto_chooses_are_as_planned(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        train: dict[str, Any] = {
            "epochs": 3,
            "imgsz": 32,
            "batch": 4,
            "nbs": 4,
            "plots": False,
        }
        job = a_job(drawn("detect"), tmp_path)
        spec = job.spec.model_copy(update={"train": TrainArguments(**train).effective("detect")})

        run = train_here(job.model_copy(update={"spec": spec}))

        assert run.trainer.args.optimizer == "AdamW"
        assert_foretold(run)


def assert_foretold(run: Training) -> None:
    """Assert that the run recorded what was planned."""
    plan = plan_of(run)
    assert plan.schedule is not None
    assert plan.schedule.epochs_shown == (1, 2, 3)
    assert plan.schedule.batches == len(run.trainer.train_loader)
    assert sum(steps_of(run)) == plan.schedule.optimizer_steps >= 4
    assert recorded_rates(run) == foretold_rates(plan)
    assert [(group.tensors, group.parameters) for group in plan.groups] == [
        row[:2] for row in rows_of(run.trainer.optimizer)
    ]
    assert [group.weight_decay for group in plan.groups] == pytest.approx(
        [row[3] for row in rows_of(run.trainer.optimizer)]
    )
    assert list(run.of("epoch")[0].lr) == [group.name for group in plan.groups]


def plan_of(run: Training, **changes: object) -> Optimization:
    """Return the plan of a run's job, or of one that differs from it."""
    layers = layer_table("yolo26n.yaml", classes=len(CLASSES))
    images = len(run.trainer.train_loader.dataset)
    spec = run.job.spec.model_copy(update=changes)
    return optimization_of(spec, layers, images=images, classes=len(CLASSES))


def foretold_rates(plan: Optimization) -> list[list[str]]:
    """Return the planned rate of each group in each epoch, in the format of results.csv."""
    return [[f"{group.rates[at]:.6g}" for group in plan.groups if group.rates] for at in range(3)]


def steps_of(run: Training) -> list[int]:
    return [event.optimizer_steps for event in run.of("epoch")]


def recorded_rates(run: Training) -> list[list[str]]:
    """Return lr/pg0, lr/pg1, … of each epoch from results.csv."""
    return [[text for name, text in row.items() if name.startswith("lr/pg")] for row in run.rows]


def _foretold_rows(plan: Optimization) -> list[tuple[int, int, float, float | None]]:
    return [
        (group.tensors, group.parameters, group.initial_rate, group.weight_decay)
        for group in plan.groups
    ]
