"""`customize` in the job spec: the five customizations of the training.

Imports no torch: the server checks and resolves it, the trainer reads it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app.jobs.spec.base_model import SpecModel, as_one_error, keys_as_fields, without_tags
from app.jobs.spec.metric_table import Direction
from app.jobs.spec.text_fields import as_map

MAX_KEPT: Final = 5
"""The maximum number of checkpoints that `keep_best` keeps in addition to best.pt."""

Backbone = Literal["backbone"]
LayerIndex = Annotated[int, Field(ge=0, le=999)]
Layers = Annotated[
    Backbone
    | Annotated[int, Field(ge=1, le=1000)]
    | Annotated[tuple[LayerIndex, ...], Field(min_length=1, max_length=1000, strict=False)],
    as_one_error(
        "layers",
        'Layers are "backbone", the number of first layers (from 1), or a list of layer indices '
        "(from 0).",
    ),
]
MetricName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./()-]*$", max_length=100),
    as_one_error("name", "Name a column of results.csv, such as metrics/mAP50(B)."),
]
Weight = Annotated[float, Field(gt=0, le=1000)]


class MetricsChoice(SpecModel):
    """Metrics in addition to those of Ultralytics, computed every epoch."""

    f1: bool = Field(
        default=False, description="Add the mean F1 over the classes with ground truth as columns."
    )
    per_class: bool = Field(
        default=False, description="Record precision, recall, F1 and AP of each class."
    )


class ExplicitClassWeights(SpecModel):
    """Weights by class name. A class without an entry has weight 1.0."""

    mode: Literal["explicit"] = Field(description="The weights are given.")
    weights: Annotated[dict[str, Weight], Field(min_length=1, max_length=10_000)] = Field(
        description="Weight by class name, above 0.", examples=[{"scratch": 2.5}]
    )


class InverseFrequencyClassWeights(SpecModel):
    """Weights max(count) / count, from the labels of the training split."""

    mode: Literal["inverse_frequency"] = Field(
        description="The weights are computed from the dataset."
    )
    cap: Annotated[float, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="Maximum weight. null: no maximum.", examples=[10.0]
    )


class BalancedClassWeights(SpecModel):
    """Ultralytics' own weights (`cls_pw`): (1 / count) ** power, scaled to a mean of 1.

    For semantic: (1 / ln(1.02 + share of the pixels)) ** power (8.4.190, semantic/train.py:105).
    """

    mode: Literal["balanced"] = Field(
        description="Ultralytics' own weights, on positives and negatives."
    )
    power: float = Field(
        default=1.0, gt=0, le=1, description="1: full effect. Lower values dampen the weights."
    )


ClassWeights = Annotated[
    ExplicitClassWeights | InverseFrequencyClassWeights | BalancedClassWeights,
    Field(discriminator="mode"),
    without_tags("mode", ("explicit", "inverse_frequency", "balanced")),
]


class BestModel(SpecModel):
    """The metric that chooses best.pt and that early stopping watches."""

    metric: MetricName = Field(
        description="A column of results.csv, or fitness.", examples=["metrics/mAP50-95(B)"]
    )
    direction: Direction | None = Field(
        default=None, description="Only for a trainer plugin's own metric; the others are known."
    )


class Bounds(SpecModel):
    """The range of a metric, both ends included."""

    min: float | None = Field(
        default=None, description="Lowest value. null: no limit.", examples=[0.5]
    )
    max: float | None = Field(
        default=None, description="Highest value. null: no limit.", examples=[0.9]
    )

    @model_validator(mode="after")
    def _has_a_limit(self) -> Self:
        if self.min is None and self.max is None:
            raise PydanticCustomError("empty_bounds", 'Set "min", "max" or both.')
        if self.min is not None and self.max is not None and self.min > self.max:
            raise PydanticCustomError("empty_bounds", '"min" must not be above "max".')
        return self


class KeepBest(SpecModel):
    """An additional checkpoint, best_<name>.pt: the best epoch among those within all bounds."""

    name: Annotated[
        str,
        StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]{0,39}$"),
        as_one_error("name", "Use 1 to 40 letters from a to z, digits and _, not _ first."),
    ] = Field(description="Part of the file name best_<name>.pt.", examples=["recall"])
    metric: MetricName = Field(
        description="The column of results.csv whose best value decides.",
        examples=["metrics/recall(B)"],
    )
    direction: Direction | None = Field(
        default=None, description="Only for a trainer plugin's own metric; the others are known."
    )
    where: Annotated[
        dict[MetricName, Bounds], Field(max_length=10, json_schema_extra=as_map), keys_as_fields()
    ] = Field(
        default_factory=dict,
        description="Bounds by metric. Epochs outside of any bound are skipped.",
        examples=[{"metrics/precision(B)": {"min": 0.5}}],
    )

    @property
    def file_name(self) -> str:
        """The file name of the artifact."""
        return f"best_{self.name}.pt"


class Freeze(SpecModel):
    """Layers that are not trained in the first epochs, or never."""

    layers: Layers = Field(description="The layers.", examples=["backbone"])
    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None,
        description="Freeze the layers in epochs 1 to N. null: in all epochs.",
        examples=[10],
    )


class LayerLr(SpecModel):
    """Layers with their own learning rate."""

    layers: Layers = Field(description="The layers.", examples=["backbone"])
    factor: Annotated[float, Field(gt=0, le=100)] = Field(
        description="Factor on the rate of the optimizer's group. The schedule keeps the ratio.",
        examples=[0.1],
    )


class Customize(SpecModel):
    """The five customizations, alone or in any combination, and additional checkpoints."""

    elsewhere = MappingProxyType(
        {name: f"/customize/metrics/{name}" for name in MetricsChoice.model_fields}
    )

    metrics: MetricsChoice = Field(
        default_factory=MetricsChoice, description="F1 and per-class metrics every epoch."
    )
    class_weights: ClassWeights | None = Field(
        default=None, description="Class weights in the class loss. null: none."
    )
    best_model: BestModel | None = Field(
        default=None, description="The metric that chooses best.pt. null: Ultralytics' fitness."
    )
    keep_best: Annotated[tuple[KeepBest, ...], Field(max_length=MAX_KEPT, strict=False)] = Field(
        default=(), description="Additional checkpoints, chosen by other metrics."
    )
    freeze: Freeze | None = Field(default=None, description="Layers to freeze. null: none.")
    layer_lrs: Annotated[tuple[LayerLr, ...], Field(max_length=100, strict=False)] = Field(
        default=(),
        description="Learning rate factors by layer. The last entry that selects a layer wins.",
    )

    @field_validator("keep_best")
    @classmethod
    def _kept_names_differ(cls, kept: tuple[KeepBest, ...]) -> tuple[KeepBest, ...]:
        names = [entry.name for entry in kept]
        if len(set(names)) < len(names):
            raise PydanticCustomError("duplicate_name", 'Each "keep_best" needs its own name.')
        return kept

    def chosen_metrics(self) -> Mapping[tuple[str | int, ...], tuple[str, Direction | None]]:
        """Return every metric that chooses or bounds a checkpoint, by its path in the JSON."""
        named: dict[tuple[str | int, ...], tuple[str, Direction | None]] = {}
        if self.best_model is not None:
            best = self.best_model
            named["best_model", "metric"] = (best.metric, best.direction)
        for index, entry in enumerate(self.keep_best):
            named["keep_best", index, "metric"] = (entry.metric, entry.direction)
            for metric in entry.where:
                named["keep_best", index, "where", metric] = (metric, None)
        return named

    def chosen_layers(self) -> Mapping[tuple[str | int, ...], "Layers"]:
        """Return every layer selector, by its path in the JSON."""
        named: dict[tuple[str | int, ...], Layers] = {}
        if self.freeze is not None:
            named["freeze", "layers"] = self.freeze.layers
        for index, entry in enumerate(self.layer_lrs):
            named["layer_lrs", index, "layers"] = entry.layers
        return named


def layer_indices(layers: "Layers", backbone_layers: int) -> tuple[int, ...]:
    """Return the layer indices of a selector, ascending.

    Args:
        layers: the selector.
        backbone_layers: number of backbone entries in the model's yaml.
    """
    if layers == "backbone":
        return tuple(range(backbone_layers))
    if isinstance(layers, int):
        return tuple(range(layers))
    return tuple(sorted({int(index) for index in layers}))


def part_name(layers: "Layers") -> str:
    """Return the selector's name in rates: backbone, layers[0:10], layers[0,3]."""
    if layers == "backbone":
        return "backbone"
    if isinstance(layers, int):
        return f"layers[0:{layers}]"
    return f"layers[{','.join(str(index) for index in layers)}]"
