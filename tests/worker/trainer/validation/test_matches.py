"""Predictions are matched with truths as Ultralytics matches them for its confusion matrix."""

from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ultralytics.utils.metrics import ConfusionMatrix, box_iou

from worker.trainer.validation.matches import CONF, IOU, Matches, matched

CLASSES = 3
NAMES = {number: str(number) for number in range(CLASSES)}
corner = st.integers(0, 6).map(float)
side = st.integers(1, 4).map(float)
box = st.tuples(corner, corner, side, side).map(
    lambda drawn: [drawn[0], drawn[1], drawn[0] + drawn[2], drawn[1] + drawn[3]]
)
kind = st.integers(0, CLASSES - 1)
truths = st.lists(st.tuples(box, kind), max_size=6)
predictions = st.lists(
    st.tuples(box, kind, st.sampled_from([0.1, 0.26, 0.3, 0.6, 0.9])), max_size=6
)


class TestMatches:
    @settings(max_examples=60, deadline=None)
    @given(truths, predictions)
    def test_errors_of_an_image_are_the_cells_of_ultralytics_matrix(
        self, true: list[Any], predicted: list[Any]
    ) -> None:
        theirs = ConfusionMatrix(names=NAMES)
        theirs.process_batch(
            {
                "bboxes": boxes_of(predicted),
                "cls": torch.tensor([float(each[1]) for each in predicted]),
                "conf": torch.tensor([each[2] for each in predicted]),
            },
            {"bboxes": boxes_of(true), "cls": torch.tensor([float(each[1]) for each in true])},
            conf=CONF,
            iou_thres=IOU,
        )

        ours = matches_of(true, [each for each in predicted if each[2] > CONF])

        inner = theirs.matrix[:CLASSES, :CLASSES]
        assert ours.is_missed.sum() == theirs.matrix[CLASSES].sum()
        assert ours.is_false.sum() == theirs.matrix[:, CLASSES].sum()
        assert ours.is_confused.sum() == inner.sum() - np.trace(inner)

    def test_an_image_is_as_bad_as_its_errors_and_its_certain_false_predictions(self) -> None:
        here, there, far = [0.0, 0.0, 4.0, 4.0], [8.0, 8.0, 9.0, 9.0], [20.0, 20.0, 22.0, 22.0]
        true = [(here, 0), (there, 1)]
        predicted = [(here, 2, 0.9), (far, 1, 0.75), (far, 1, 0.5)]

        found = matches_of(true, predicted).as_json([{}] * 2, [{}] * 3)

        assert matches_of(true, predicted).badness == 1 + 1 + 0.75 + 0.5
        assert (found["missed"], found["false"], found["confused"]) == (1, 2, 1)
        assert [each["outcome"] for each in found["truths"]] == ["confused", "missed"]
        assert [each["outcome"] for each in found["predictions"]] == ["confused", "false", "false"]
        assert found["classes"] == [
            {"class": 1, "missed": 1, "false": 2, "confused": 0},
            {"class": 0, "missed": 0, "false": 0, "confused": 1},
            {"class": 2, "missed": 0, "false": 0, "confused": 1},
        ]

    def test_errors_are_listed_before_hits_when_there_are_too_many_objects(self) -> None:
        hits = [([10.0 * n, 0.0, 10.0 * n + 5, 5.0], 0) for n in range(150)]
        missed = ([0.0, 50.0, 5.0, 55.0], 1)
        predicted = [(place, kind, 0.5) for place, kind in hits]

        found = matches_of([*hits, missed], predicted).as_json([{}] * 151, [{}] * 150)

        assert (len(found["truths"]), found["truths_total"]) == (100, 151)
        assert found["truths"][0] == {"class": 1, "outcome": "missed"}
        assert (len(found["predictions"]), found["predictions_total"]) == (100, 150)


def boxes_of(objects: list[Any]) -> torch.Tensor:
    return torch.tensor([each[0] for each in objects]).reshape(-1, 4)


def matches_of(true: list[Any], predicted: list[Any]) -> Matches:
    confidence = np.array([each[2] for each in predicted], dtype=np.float64)
    iou = np.asarray(box_iou(boxes_of(true), boxes_of(predicted)))
    return Matches(
        true=np.array([each[1] for each in true], dtype=np.int64),
        predicted=np.array([each[1] for each in predicted], dtype=np.int64),
        confidence=confidence,
        claims=matched(iou, confidence),
    )
