"""Weights by name become weights by index, even if Ultralytics changes the names."""

import pytest

from worker.trainer.customizations.class_weights import weights_by_index
from worker.trainer.errors import BadSpec


class TestWeightsByIndex:
    def test_classes_of_one_name_share_its_weight(self) -> None:
        names = {0: "disc", 1: "square", 2: "disc"}

        assert weights_by_index({"disc": 4.0, "square": 0.5}, names) == [4.0, 0.5, 4.0]

    def test_the_background_that_ultralytics_adds_has_a_weight_of_one(self) -> None:
        names = {0: "disc", 1: "square", 2: "background"}

        assert weights_by_index({"disc": 4.0, "square": 0.5}, names, background=2)[2] == 1.0

    def test_a_background_of_the_dataset_has_its_own(self) -> None:
        names = {0: "background", 1: "disc"}

        assert weights_by_index({"background": 0.1, "disc": 4.0}, names) == [0.1, 4.0]

    def test_a_class_without_a_weight_is_named(self) -> None:
        with pytest.raises(BadSpec, match="square"):
            weights_by_index({"disc": 4.0}, {0: "disc", 1: "square"})

    def test_classes_that_ultralytics_renamed_are_told_by_their_order(self) -> None:
        by_code = {"n01440764": 2.0, "n01443537": 0.5}

        assert weights_by_index(by_code, {0: "tench", 1: "goldfish"}) == [2.0, 0.5]
