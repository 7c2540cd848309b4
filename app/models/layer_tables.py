"""The layers of every offered architecture and their parameters, as data without torch.

`layer_tables.json` is generated from the installed Ultralytics by
`python -m tests.models.generate_layer_tables`; a contract test builds the models and compares.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from typing import Any, Final, Literal

Kind = Literal["weight", "norm", "bias"]
Size = Literal[
    "classes", "class_width", "keypoint_values", "keypoint_width", "keypoint_spreads", "channels"
]

TABLES: Final = files("app.models") / "layer_tables.json"
MOST_CLASS_WIDTH: Final = 100
"""More classes do not widen the class branch further (Ultralytics 8.4.190, head.py:123)."""


@dataclass(frozen=True, slots=True)
class TensorKind:
    """The properties by which Ultralytics groups a tensor (Ultralytics 8.4.190, trainer.py:1189).

    `kind` is the group in every optimizer except MuSGD. In MuSGD, `muon` tensors (of two or four
    dimensions) have their own group, and `raised` tensors (class branch, mask classes) have three
    times the learning rate. `fixed` tensors (`.dfl`) are in a group but are never trained.
    """

    kind: Kind
    muon: bool
    raised: bool
    fixed: bool


@dataclass(frozen=True, slots=True)
class TensorCount:
    """The number of tensors of one kind in a layer, and of their elements."""

    kind: TensorKind
    tensors: int
    elements: int


@dataclass(frozen=True)
class LayerRow:
    """One layer: its index from 0, its class without module path, and its tensors by kind."""

    index: int
    module: str
    counts: tuple[TensorCount, ...]

    @cached_property
    def parameters(self) -> int:
        """The number of parameters of the layer, as Ultralytics prints it."""
        return sum(count.elements for count in self.counts)

    @cached_property
    def trainable(self) -> int:
        """The number of parameters that are ever trained."""
        return sum(count.elements for count in self.counts if not count.kind.fixed)


@lru_cache(maxsize=512)
def layer_table(
    architecture: str,
    *,
    classes: int,
    keypoints: tuple[int, int] | None = None,
    channels: int = 3,
) -> tuple[LayerRow, ...]:
    """Return the layers of an offered architecture, with exact sizes for any dataset.

    Args:
        architecture: the yaml name, such as `yolo26n.yaml`.
        classes: the number of classes that the model is built for: 1 with `single_cls`; for a
            semantic model including the background, if one is added; no effect on depth.
        keypoints: for a pose dataset (number of keypoints, values per keypoint: 2 or 3); None means
            the architecture's default (17, 3). No effect on other tasks.
        channels: the number of channels of the images.

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
    """Return the sizes of a dataset that determine tensor shapes.

    The first convolution depends on the channels, the head on the others (Ultralytics 8.4.190,
    head.py:123, 622, 709-714).
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
    """Return coefficient * max(least, size) * …: elements of tensors of variable shape."""
    coefficient, *factors = term
    return math.prod((max(least, sizes[size]) for least, size in factors), start=int(coefficient))


@cache
def _stored() -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(TABLES.read_text())
    return stored
