import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.architectures import ARCHITECTURES
from app.models.layer_tables import TABLES, layer_table

PUBLISHED = {
    # Parameter counts from Ultralytics' documentation, with the classes of each model's dataset.
    "yolov8n.yaml": (80, 3_157_200),
    "yolo11n.yaml": (80, 2_624_080),
    "yolo26n.yaml": (80, 2_572_280),
}


def parameters(architecture: str, *, classes: int) -> int:
    return sum(row.parameters for row in layer_table(architecture, classes=classes))


class TestLayerTable:
    @pytest.mark.parametrize("name", ARCHITECTURES)
    def test_every_offered_architecture_has_all_its_layers(self, name: str) -> None:
        rows = layer_table(name, classes=3)

        assert [row.index for row in rows] == list(range(ARCHITECTURES[name].layers))
        assert rows[0].module == "Conv"

    @pytest.mark.parametrize(
        ("name", "classes", "expected"), [(k, *v) for k, v in PUBLISHED.items()]
    )
    def test_a_known_model_has_the_parameters_that_it_is_known_for(
        self, name: str, classes: int, expected: int
    ) -> None:
        assert parameters(name, classes=classes) == expected

    @given(name=st.sampled_from(sorted(ARCHITECTURES)), classes=st.integers(1, 2000))
    def test_a_class_more_never_takes_parameters_away(self, name: str, classes: int) -> None:
        more = parameters(name, classes=classes + 1)

        if ARCHITECTURES[name].task == "depth":
            assert more == parameters(name, classes=classes)
        else:
            assert more > parameters(name, classes=classes)

    @given(name=st.sampled_from(sorted(ARCHITECTURES)), classes=st.integers(1, 2000))
    def test_the_number_of_classes_changes_the_head_alone(self, name: str, classes: int) -> None:
        assert layer_table(name, classes=classes)[:-1] == layer_table(name, classes=1)[:-1]

    def test_keypoints_change_the_head_of_a_pose_model(self) -> None:
        hands = layer_table("yolo26n-pose.yaml", classes=1, keypoints=(21, 2))
        people = layer_table("yolo26n-pose.yaml", classes=1, keypoints=(17, 3))

        assert hands[-1].parameters != people[-1].parameters
        assert people == layer_table("yolo26n-pose.yaml", classes=1)

    def test_only_the_dfl_of_older_heads_never_learns(self) -> None:
        fixed = {
            (name, row.index, count.elements)
            for name in ("yolov8n.yaml", "yolo11n.yaml", "yolo26n.yaml")
            for row in layer_table(name, classes=80)
            for count in row.counts
            if count.kind.fixed
        }

        assert fixed == {("yolov8n.yaml", 22, 16), ("yolo11n.yaml", 23, 16)}

    def test_an_architecture_that_is_not_offered_is_a_key_error(self) -> None:
        with pytest.raises(KeyError):
            layer_table("yolov5n.yaml", classes=80)

    def test_the_file_says_which_ultralytics_it_was_made_from(self) -> None:
        assert json.loads(TABLES.read_text())["ultralytics"] == "8.4.190"
