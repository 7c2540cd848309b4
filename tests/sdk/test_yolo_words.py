"""Arguments of Ultralytics' `YOLO.train` become a spec, or are refused with the reason."""

import pytest

from trainyard import Client, ConfigurationError
from trainyard.operations.yolo_words import YoloTraining, translate

pytestmark = pytest.mark.integration


def translated(client: Client, model: str = "yolo26n.yaml", **arguments: object) -> YoloTraining:
    return client.run(translate(client.connection, model, arguments))


class TestWords:
    def test_arguments_are_mapped_to_the_spec(self, client: Client) -> None:
        found = translated(client, epochs=3, workers=2, device="cpu", freeze=[0, 1], cos_lr=True)

        assert found.spec["train"] == {"epochs": 3, "loader_workers": 2, "cos_lr": True}
        assert found.spec["resources"] == {"gpus": 0}
        assert found.spec["customize"] == {"freeze": {"layers": [0, 1]}}

    def test_files_of_this_machine_are_not_sent(self, client: Client) -> None:
        found = translated(client, data="a b.yaml", project="mine", exist_ok=True)

        assert found == YoloTraining()

    def test_an_argument_that_would_change_the_result_is_refused_with_its_reason(
        self, client: Client
    ) -> None:
        with pytest.raises(ConfigurationError, match=r"resume: .*retry"):
            translated(client, epochs=3, resume=True)

    def test_an_argument_without_an_effect_is_left_out(self, client: Client) -> None:
        assert "save_period" in translated(client, epochs=3, save_period=2).left_out

    def test_pretrained_may_say_what_the_model_says(self, client: Client) -> None:
        assert translated(client, "yolo26n.pt", pretrained=True) == YoloTraining()
