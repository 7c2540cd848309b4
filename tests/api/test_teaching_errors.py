"""Refusals say what would be right, in words of this API: the mistakes that newcomers made."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.server import Api, on, serving

pytestmark = pytest.mark.mostly_sqlite

FOREIGN = re.compile(
    r"Input should|valid (tuple|dictionary|boolean|integer|string|number)|pattern|\^|\[A-Z|\\x"
    r"|object to extract|Extra inputs|instance of|literal",
)
"""Words of pydantic, and regular expressions."""


@pytest.fixture(scope="module")
def shared(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    yield from serving(on(module_database_url, tmp_path_factory.mktemp("errors") / "home"))


SPECS: list[tuple[dict[str, Any], str, str]] = [
    ({"model": "yolov8n"}, "/model", 'did you mean "yolov8n.pt"?'),
    ({"model": "/home/me/best.pt"}, "/model", "Files of your machine cannot be named"),
    ({"model": "yolo26m.ymal"}, "/model", 'did you mean "yolo26m.yaml"?'),
    ({"model": "yolo26.yaml"}, "/model", "Did you mean"),
    ({"model": "yolov26n.pt"}, "/model", 'Did you mean "yolo26n.pt"?'),
    ({"model": "yolov5n.pt"}, "/model", "YOLO26, YOLO11 and YOLOv8"),
    ({"model": "rtdetr-l.pt"}, "/model", "YOLO26, YOLO11 and YOLOv8"),
    ({"model": 5}, "/model", "A model is named as yolo26n.yaml"),
    ({"dataset": "shape"}, "/dataset", 'Did you mean "shapes"?'),
    ({"dataset": "shapes@7"}, "/dataset", "Your projects have no such dataset"),
    ({"customize": {"layer_lrs": {"backbone": 0.1}}}, "/customize/layer_lrs", "a list"),
    ({"customize": {"class_weights": [1, 3]}}, "/customize/class_weights", "an object"),
    ({"epochs": 5}, "/epochs", "it is /train/epochs."),
    ({"gpus": 1}, "/gpus", "it is /resources/gpus."),
    ({"freeze": {"layers": 10}}, "/freeze", "it is /customize/freeze."),
    ({"customize": {"f1": True}}, "/customize/f1", "it is /customize/metrics/f1."),
    ({"train": {"cache": "ram"}}, "/train/cache", "true (in memory)"),
    ({"train": {"optimizer": "adamw"}}, "/train/optimizer", 'Did you mean "AdamW"?'),
    ({"train": {"epochs": "50"}}, "/train/epochs", "leave the quotes away"),
    ({"train": {"epochs": 0}}, "/train/epochs", "It must be at least 1."),
    ({"train": {"epochs": 1.5}}, "/train/epochs", "a whole number"),
    ({"train": {"cos_lr": "true"}}, "/train/cos_lr", "leave the quotes away"),
    ({"train": []}, "/train", "an object in braces"),
    ({"tags": ["a"]}, "/tags", "an object in braces"),
    ({"resources": {"queue": "my queue"}}, "/resources/queue", "letters, digits"),
    ({"task": "detection"}, "/task", 'Did you mean "detect"?'),
]


@pytest.mark.parametrize(
    ("changes", "pointer", "sentence"), SPECS, ids=[f"{change}" for change, _, _ in SPECS]
)
def test_a_wrong_spec_is_told_what_would_be_right(
    shared: Api, changes: dict[str, Any], pointer: str, sentence: str
) -> None:
    answer = shared.client.post("/v1/jobs/validate", json=shared.spec() | changes)

    assert answer.status_code == 422, answer.text
    found = {field["pointer"]: field for field in answer.json()["errors"]}
    assert sentence in found[pointer]["message"], answer.text
    assert FOREIGN.search(answer.text) is None, answer.text
    assert not re.search(r"type|pattern|attributes", found[pointer]["code"])


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("/v1/jobs?tag=line", "key:value"),
        ("/v1/jobs?limit=x", "a whole number"),
        ("/v1/jobs?limit=0", "at least 1"),
        ("/v1/jobs?state=runing", 'Did you mean "running"?'),
        ("/v1/jobs?stat=running", 'Did you mean "state"?'),
        ("/v1/models?sha256=x", "not allowed"),
    ],
)
def test_a_wrong_parameter_is_told_what_would_be_right(
    shared: Api, query: str, sentence: str
) -> None:
    answer = shared.client.get(query)

    assert answer.status_code == 422, answer.text
    assert sentence in answer.json()["detail"]
    assert FOREIGN.search(answer.text) is None, answer.text


class TestDatasetsByName:
    @pytest.fixture
    def api(self, database_url: str, tmp_path: Path) -> Iterator[Api]:
        yield from serving(on(database_url, tmp_path / "home"))

    @pytest.mark.parametrize("suffix", ["", "@1"])
    def test_a_job_names_its_dataset(self, api: Api, suffix: str) -> None:
        name = api.client.get("/v1/datasets").json()["data"][0]["name"]
        by_id = api.submit()["resolved"]["dataset"]

        named = api.client.post("/v1/jobs", json=api.spec() | {"dataset": name + suffix})

        assert named.status_code == 201, named.text
        assert named.json()["resolved"]["dataset"] == by_id
        assert named.json()["spec"]["dataset"] == name + suffix
