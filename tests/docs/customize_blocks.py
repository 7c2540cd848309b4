"""The generated parts of docs/customizing.md."""

from typing import get_args

from app.core.tasks import Task
from app.jobs.spec.customize import (
    BalancedClassWeights,
    BestModel,
    Bounds,
    ExplicitClassWeights,
    Freeze,
    InverseFrequencyClassWeights,
    KeepBest,
    LayerLr,
    MetricsChoice,
)
from app.jobs.spec.metric_table import Direction, metrics_of
from tests.docs.markdown import code, fields_of, table

PLACES = (
    ("metrics.", MetricsChoice),
    ("class_weights.", ExplicitClassWeights),
    ("class_weights.", InverseFrequencyClassWeights),
    ("class_weights.", BalancedClassWeights),
    ("best_model.", BestModel),
    ("keep_best[].", KeepBest),
    ("keep_best[].where{}.", Bounds),
    ("freeze.", Freeze),
    ("layer_lrs[].", LayerLr),
)
"""The place of each model in `customize`; class weights have a model for each mode."""


def chosen_metrics() -> str:
    """Return the table of metrics that can choose a checkpoint, by task and direction."""
    rows = [
        [task, *(_metrics(task, way) for way in get_args(Direction))] for task in get_args(Task)
    ]
    return table(["task", "higher is better", "lower is better"], rows)


def _metrics(task: Task, way: Direction) -> str:
    return " ".join(code(name) for name, direction in metrics_of(task).items() if direction == way)


def customize_fields() -> str:
    """Return the table of all fields of the parts of `customize`."""
    rows = [
        [code(prefix + field.path), field.default, field.range, field.meaning]
        for prefix, schema in ((place, model.model_json_schema()) for place, model in PLACES)
        for field in fields_of(schema, schema)
    ]
    return table(["field", "default", "range", "meaning"], rows)
