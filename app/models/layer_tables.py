"""The layers of every offered architecture and what each of them learns, as data without torch.

`layer_tables.json` is generated from the installed Ultralytics by
`python -m tests.models.generate_layer_tables`; a contract test builds the models and compares.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final, Literal

Kind = Literal["weight", "norm", "bias"]
Size = Literal[
    "classes", "class_width", "keypoint_values", "keypoint_width", "keypoint_spreads", "channels"
]

TABLES: Final = files("app.models") / "layer_tables.json"
MOST_CLASS_WIDTH: Final = 100
"""Classes above this number do not widen the class branch (Ultralytics 8.4.190, head.py:123)."""


@dataclass(frozen=True, slots=True)
class TensorKind:
    """What the stock optimizer builder sees in a tensor (Ultralytics 8.4.190, trainer.py:1189).

    `kind` is the group in every optimizer but MuSGD. There, `muon` tensors (of two or four
    dimensions) have a group of their own, and the `raised` ones (class branch, mask classes) learn
    at three times the rate. `fixed` tensors (`.dfl`) are in a group and never learn.
    """

    kind: Kind
    muon: bool
    raised: bool
    fixed: bool


@dataclass(frozen=True, slots=True)
class TensorCount:
    """How many tensors of one kind a layer has, and how many numbers are in them."""

    kind: TensorKind
    tensors: int
    elements: int


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer: its place from 0, its class without module path, and its tensors by kind."""

    index: int
    module: str
    counts: tuple[TensorCount, ...]

    @property
    def parameters(self) -> int:
        """All numbers in the layer's parameters, as Ultralytics prints them."""
        return sum(count.elements for count in self.counts)


@lru_cache(maxsize=512)
def layer_table(
    architecture: str,
    *,
    classes: int,
    keypoints: tuple[int, int] | None = None,
    channels: int = 3,
) -> tuple[LayerRow, ...]:
    """Return the layers of an offered architecture, exact for any data set.

    Args:
        architecture: its yaml name, such as `yolo26n.yaml`.
        classes: what the model is built for: 1 with `single_cls`; of a semantic model with the
            background, where the data set adds one; without effect on depth.
        keypoints: of a pose data set (number of keypoints, values of each: 2 or 3); None: the
            architecture's own (17, 3). Without effect on other tasks.
        channels: of the images.

    Raises:
        KeyError: no such architecture is offered.
    """
    sizes = sizes_of(classes, keypoints or (17, 3), channels)
    stored = _stored()
    rows = [stored["layers"][number] for number in stored["architectures"][architecture]]
    return tuple(
        LayerRow(index, row["module"], tuple(_counts(row["tensors"], sizes)))
        for index, row in enumerate(rows)
    )


def sizes_of(classes: int, keypoints: tuple[int, int], channels: int) -> dict[Size, int]:
    """Return the sizes of a data set that shapes are made of.

    The first convolution knows the channels, the head all else (Ultralytics 8.4.190, head.py:123,
    622, 709-714).
    """
    number, values = keypoints
    return {
        "classes": classes,
        "class_width": min(classes, MOST_CLASS_WIDTH),
        "keypoint_values": number * values,
        "keypoint_width": number * (values + 2),
        "keypoint_spreads": number * 2,
        "channels": channels,
    }


def _counts(rows: Iterable[dict[str, Any]], sizes: dict[Size, int]) -> Iterator[TensorCount]:
    for row in rows:
        kind = TensorKind(row["kind"], *("muon" in row, "raised" in row, "fixed" in row))
        terms = sum(_term(term, sizes) for term in row.get("terms", ()))
        yield TensorCount(kind, row["tensors"], row["elements"] + terms)


def _term(term: Sequence[Any], sizes: dict[Size, int]) -> int:
    """Return coefficient * max(least, size) * …: numbers in tensors whose shape is not fixed."""
    coefficient, *factors = term
    return math.prod((max(least, sizes[size]) for least, size in factors), start=int(coefficient))


@cache
def _stored() -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(TABLES.read_text())
    return stored
