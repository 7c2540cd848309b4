"""Metrics of each class, as a table of one epoch."""

import pytest

from app.jobs.class_metrics import Columns
from tests.api.asked import sql_on
from tests.api.jobs.running_job import Running, claimed
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite


@pytest.fixture
def running(api: Api) -> Running:
    api.submit()
    return claimed(api)


class TestClassMetrics:
    def test_an_epoch_is_a_table_of_classes_in_the_order_of_the_dataset(
        self, running: Running
    ) -> None:
        running.finish_epoch(
            1,
            {
                "precision(B)": [0.8, None],
                "recall(B)": [0.7, None],
                "f1(B)": [0.75, None],
                "ap50(B)": [0.8, None],
                "ap50_95(B)": [0.5, None],
            },
        )

        answer = running.api.client.get(f"{running.path}/metrics/classes")

        names = ("precision", "recall", "f1", "ap50", "ap50_95")
        assert answer.json() == {
            "epoch": 1,
            "classes": [
                {"name": "circle"} | dict(zip(names, (0.8, 0.7, 0.75, 0.8, 0.5), strict=True)),
                {"name": "square"} | dict.fromkeys(names),
            ],
        }

    @pytest.mark.parametrize(
        ("columns", "entry"),
        [
            ({"f1(B)": [0.1], "f1(M)": [0.2]}, {"f1": 0.1, "mask": {"f1": 0.2}}),
            ({"f1(B)": [0.1], "ap50(P)": [0.2]}, {"f1": 0.1, "pose": {"ap50": 0.2}}),
            ({"f1": [0.1], "iou": [0.2]}, {"f1": 0.1, "iou": 0.2}),
        ],
        ids=["segment", "pose", "semantic"],
    )
    def test_masks_and_keypoints_stand_beside_the_boxes(
        self, running: Running, columns: Columns, entry: dict[str, object]
    ) -> None:
        running.finish_epoch(1, {name: [*values, None] for name, values in columns.items()})

        answer = running.api.client.get(f"{running.path}/metrics/classes")

        assert answer.json()["classes"][0] == {"name": "circle", **entry}

    def test_the_newest_epoch_that_has_any_answers_unless_another_is_asked_for(
        self, running: Running
    ) -> None:
        for epoch in (1, 2):
            running.finish_epoch(epoch, {"f1(B)": [epoch / 10, None]})
        running.finish_epoch(3)
        path, client = f"{running.path}/metrics/classes", running.api.client

        answers = [client.get(path, params=query).json() for query in ({}, {"epoch": 1})]

        assert [(each["epoch"], each["classes"][0]["f1"]) for each in answers] == [
            (2, 0.2),
            (1, 0.1),
        ]

    @pytest.mark.parametrize("query", ["", "?epoch=2"])
    def test_class_metrics_that_do_not_exist_are_not_found(
        self, running: Running, query: str
    ) -> None:
        running.finish_epoch(1, {"f1(B)": [0.5, None]} if query else None)

        answer = running.api.client.get(f"{running.path}/metrics/classes{query}")

        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:trainyard:problem:class-metrics-not-found"

    def test_class_metrics_cost_one_query_each_for_job_epoch_and_names(
        self, running: Running
    ) -> None:
        for epoch in range(1, 4):
            running.finish_epoch(epoch, {"f1(B)": [0.5, None]})

        with sql_on(running.api.database) as asked:
            running.api.client.get(f"{running.path}/metrics/classes")

        assert (asked.reads, asked.writes) == (3, 0)
