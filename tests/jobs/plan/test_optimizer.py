from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.plan.optimizer import Optimization, choose_optimizer, optimization_of
from app.jobs.spec.job_spec import JobSpec, ResolvedSpec, SpecFacts, resolve_spec
from app.jobs.spec.train_arguments import TrainArguments
from app.models.layer_tables import layer_table

VERSION = "dsv_01JABCDEFGHJKMNPQRSTVWXYZ0"
NAMES = ("one", "two", "three")


def a_spec(
    architecture: str = "yolo26n.yaml", *, customize: object = None, **train: object
) -> ResolvedSpec:
    spec = JobSpec.model_validate(
        {
            "dataset": VERSION,
            "model": architecture,
            "task": "detect",
            "train": {"optimizer": "SGD"} | train,
            "customize": customize,
        }
    )
    facts: dict[str, Any] = {"classes": NAMES, "architecture": architecture}
    return resolve_spec(spec, SpecFacts(VERSION, "detect", **facts))


def planned(spec: ResolvedSpec, *, images: int = 1000) -> Optimization:
    assert spec.architecture is not None
    layers = layer_table(spec.architecture, classes=len(NAMES))
    return optimization_of(spec, layers, images=images, classes=len(NAMES))


class TestChoice:
    @pytest.mark.parametrize(
        ("epochs", "images", "name", "rate"),
        [
            pytest.param(100, 1000, "AdamW", 0.001429, id="short"),
            pytest.param(625, 1000, "AdamW", 0.001429, id="10000 iterations"),
            pytest.param(626, 1000, "MuSGD", 0.01, id="10016 iterations"),
        ],
    )
    def test_auto_goes_by_the_length_of_the_training(
        self, epochs: int, images: int, name: str, rate: float
    ) -> None:
        chosen = choose_optimizer(TrainArguments(epochs=epochs), images=images, classes=3)

        assert (chosen.name, chosen.lr0, chosen.momentum) == (name, rate, 0.9)
        assert chosen.warmup_bias_lr == 0
        assert chosen.chosen_by_auto

    def test_an_optimizer_by_name_has_the_arguments_given(self) -> None:
        train = TrainArguments(optimizer="RMSProp", lr0=0.002, momentum=0.8, warmup_bias_lr=0.05)

        chosen = choose_optimizer(train, images=10**6, classes=3)

        assert (chosen.name, chosen.lr0, chosen.momentum) == ("RMSprop", 0.002, 0.8)
        assert chosen.warmup_bias_lr == 0.05
        assert not chosen.chosen_by_auto

    def test_a_batch_that_the_gpu_decides_leaves_a_long_auto_open(self) -> None:
        short, long = (
            choose_optimizer(TrainArguments(batch=-1), images=images, classes=3)
            for images in (1000, 10**6)
        )

        assert short.is_certain
        assert not long.is_certain


class TestGroups:
    def test_groups_without_factors_are_the_stock_ones(self) -> None:
        groups = planned(a_spec()).groups

        assert [group.name for group in groups] == [
            "lr/rest/weight",
            "lr/rest/norm",
            "lr/rest/bias",
        ]
        assert [group.weight_decay for group in groups] == [0.0005, 0, 0]

    def test_musgd_has_eight_groups_and_those_of_the_class_branch_are_three_times_as_fast(
        self,
    ) -> None:
        groups = {group.name: group for group in planned(a_spec(optimizer="MuSGD")).groups}

        assert len(groups) == 8
        assert groups["lr/rest/weight_muon_x3"].initial_rate == pytest.approx(0.03)
        assert groups["lr/rest/weight_muon"].initial_rate == pytest.approx(0.01)
        assert groups["lr/rest/weight"].tensors == 0

    def test_factors_split_each_group_and_leave_out_what_is_empty(self) -> None:
        layer_lrs = [{"layers": "backbone", "factor": 0.1}, {"layers": [23], "factor": 2}]

        groups = planned(a_spec(optimizer="MuSGD", customize={"layer_lrs": layer_lrs})).groups

        assert [(group.name, group.factor) for group in groups] == [
            ("lr/layers[23]/norm_x3", 2),
            ("lr/backbone/norm", 0.1),
            ("lr/layers[23]/norm", 2),
            ("lr/rest/norm", 1),
            ("lr/layers[23]/bias_x3", 2),
            ("lr/backbone/bias", 0.1),
            ("lr/layers[23]/bias", 2),
            ("lr/rest/bias", 1),
            ("lr/layers[23]/weight_muon_x3", 2),
            ("lr/backbone/weight_muon", 0.1),
            ("lr/layers[23]/weight_muon", 2),
            ("lr/rest/weight_muon", 1),
        ]

    def test_a_part_learns_from_the_epoch_after_its_last_frozen_one(self) -> None:
        customize = {
            "freeze": {"layers": "backbone", "epochs": 5},
            "layer_lrs": [{"layers": "backbone", "factor": 0.1}],
        }

        groups = planned(a_spec(customize=customize)).groups

        assert {group.name.split("/")[1]: group.learns_from for group in groups} == {
            "backbone": 6,
            "rest": 1,
        }

    def test_layers_that_are_frozen_for_good_never_learn(self) -> None:
        customize = {
            "freeze": {"layers": 10},
            "layer_lrs": [{"layers": 5, "factor": 0.1}],
        }

        groups = planned(a_spec(customize=customize)).groups

        assert {g.learns_from for g in groups if "layers[0:5]" in g.name} == {None}

    @given(
        selectors=st.lists(
            st.one_of(
                st.just("backbone"),
                st.integers(1, 24),
                st.lists(st.integers(0, 23), min_size=1, max_size=4, unique=True),
            ),
            max_size=3,
        ),
        optimizer=st.sampled_from(["SGD", "MuSGD", "AdamW"]),
    )
    def test_no_parameter_is_lost_or_doubled_by_splitting(
        self, selectors: list[object], optimizer: str
    ) -> None:
        layer_lrs = [{"layers": each, "factor": 0.5} for each in selectors]

        groups = planned(a_spec(optimizer=optimizer, customize={"layer_lrs": layer_lrs})).groups

        names = [group.name for group in groups]
        table = layer_table("yolo26n.yaml", classes=len(NAMES))
        assert len(set(names)) == len(names)
        assert sum(group.parameters for group in groups) == sum(row.parameters for row in table)

    def test_rates_are_planned_for_the_shown_epochs_of_a_known_course(self) -> None:
        optimization = planned(a_spec(epochs=10, warmup_epochs=0))

        assert optimization.schedule is not None
        assert optimization.schedule.epochs_shown == (1, 5, 10)
        assert optimization.groups[0].rates == pytest.approx((0.01, 0.00604, 0.00109))

    def test_groups_are_planned_without_rates_where_the_gpu_decides_on_the_batch(self) -> None:
        optimization = planned(a_spec(batch=-1))

        assert optimization.schedule is None
        assert optimization.groups[0].parameters > 0
        assert optimization.groups[0].rates is None
        assert optimization.groups[0].weight_decay is None

    def test_a_model_without_known_layers_has_no_groups(self) -> None:
        optimization = optimization_of(a_spec(), None, images=1000, classes=3)

        assert optimization.groups == ()
        assert optimization.schedule is not None
