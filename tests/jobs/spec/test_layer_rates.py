import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.spec.customize import LayerLr
from app.jobs.spec.layer_rates import (
    group_labels,
    layer_of,
    part_of,
    part_order,
    rate_name,
)


def layer_lr(layers: object, factor: float = 0.1) -> LayerLr:
    return LayerLr.model_validate({"layers": layers, "factor": factor})


class TestGroupLabels:
    def test_the_groups_of_most_optimizers_are_named_for_their_kind(self) -> None:
        groups = [{"lr": 0.01, "param_group": kind} for kind in ("weight", "bn", "bias")]

        labels = group_labels(groups)

        assert labels == ("weight", "norm", "bias")

    def test_musgd_tells_its_raised_halves_by_a_suffix(self) -> None:
        groups = [
            {"lr": rate, "param_group": kind}
            for kind in ("weight", "bn", "bias", "muon")
            for rate in (0.002 * 3, 0.002)
        ]

        labels = group_labels(groups)

        assert labels == (
            "weight_x3",
            "weight",
            "norm_x3",
            "norm",
            "bias_x3",
            "bias",
            "weight_muon_x3",
            "weight_muon",
        )

    def test_a_group_that_the_stock_builder_did_not_make_has_no_name(self) -> None:
        with pytest.raises(KeyError):
            group_labels([{"lr": 0.01}])


class TestPartOf:
    @pytest.mark.parametrize(
        ("layer", "expected"),
        [
            pytest.param(0, ("layers[0,3]", 2.0), id="named twice: the last counts"),
            pytest.param(2, ("backbone", 0.1), id="named once"),
            pytest.param(11, ("rest", 1.0), id="named nowhere"),
            pytest.param(None, ("rest", 1.0), id="outside of the layers"),
        ],
    )
    def test_the_last_selector_that_names_the_layer_counts(
        self, layer: int | None, expected: tuple[str, float]
    ) -> None:
        layer_lrs = (layer_lr("backbone"), layer_lr([0, 3], 2.0))

        part = part_of(layer, layer_lrs, 11)

        assert part == expected

    @given(
        layer=st.integers(0, 30),
        selectors=st.lists(
            st.one_of(
                st.just("backbone"),
                st.integers(1, 30),
                st.lists(st.integers(0, 30), min_size=1, max_size=5),
            ),
            max_size=4,
        ),
    )
    def test_every_layer_has_a_part_that_groups_are_split_by(
        self, layer: int, selectors: list[object]
    ) -> None:
        layer_lrs = tuple(layer_lr(each) for each in selectors)

        part, _ = part_of(layer, layer_lrs, 10)

        assert part in part_order(layer_lrs)


class TestNames:
    def test_a_rate_is_named_for_its_part_and_group(self) -> None:
        assert rate_name("layers[0:10]", "norm") == "lr/layers[0:10]/norm"

    def test_rates_of_parts_come_as_written_and_the_rest_last(self) -> None:
        layer_lrs = (layer_lr([3, 0]), layer_lr("backbone"), layer_lr([3, 0], 2.0), layer_lr(10))

        assert part_order(layer_lrs) == ("layers[3,0]", "backbone", "layers[0:10]", "rest")

    @pytest.mark.parametrize(
        ("name", "layer"),
        [
            ("model.3.conv.weight", 3),
            ("module.model.23.dfl.conv.weight", 23),
            ("_orig_mod.model.10.m.0.cv1.bn.bias", 10),
            ("projector.weight", None),
        ],
    )
    def test_a_tensor_names_its_layer(self, name: str, layer: int | None) -> None:
        assert layer_of(name) == layer
