"""The JSON models of the training arguments, of metrics, and of a translated training."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, Field, JsonValue

from app.core.tasks import TASKS, Task
from app.jobs.parsing.translate import Translation
from app.jobs.spec.argument_groups import GROUPS
from app.jobs.spec.metric_table import F1_METRICS, Direction, metrics_of
from app.jobs.spec.train_arguments import TrainArguments, tasks_of

ValueType = Literal["integer", "number", "boolean", "string", "array", "null"]
ALL: Final[tuple[Literal["all"]]] = ("all",)
"""Instead of the names of all tasks."""
REQUIRED: Final = ("model", "dataset")
"""Fields that a spec cannot do without."""


class AcceptedType(BaseModel):
    """One kind of value that a field accepts."""

    type: ValueType = Field(description="JSON type of the value.")
    minimum: float | None = Field(
        default=None, description="Lowest value, itself included.", examples=[1.0]
    )
    maximum: float | None = Field(
        default=None, description="Highest value, itself included.", examples=[100_000.0]
    )
    above: float | None = Field(
        default=None, description="The value must be above this one.", examples=[None, 0.0]
    )
    below: float | None = Field(
        default=None, description="The value must be below this one.", examples=[None, 1.0]
    )
    choices: list[JsonValue] | None = Field(
        default=None,
        description="The only values of this type. null: all.",
        examples=[None, ["disk"]],
    )

    @classmethod
    def of(cls, schema: Mapping[str, Any]) -> Self:
        """Return the view of one alternative of a field's JSON Schema."""
        only = [schema["const"]] if "const" in schema else schema.get("enum")
        return cls(
            type=schema["type"],
            minimum=schema.get("minimum"),
            maximum=schema.get("maximum"),
            above=schema.get("exclusiveMinimum"),
            below=schema.get("exclusiveMaximum"),
            choices=only,
        )


class ArgumentView(BaseModel):
    """One training argument. `type`, `minimum` and `maximum` are those of its first alternative."""

    name: str = Field(description="Name of the field in `train`.", examples=["epochs"])
    type: ValueType = Field(description="JSON type of the usual value.", examples=["integer"])
    default: JsonValue = Field(description="Ultralytics' default.", examples=[100])
    minimum: float | None = Field(
        description="Lowest usual value; see `accepts` for open ends.", examples=[1.0]
    )
    maximum: float | None = Field(
        description="Highest usual value; see `accepts` for open ends.", examples=[100_000.0]
    )
    help: str = Field(
        description="What the argument does, in one or two sentences.",
        examples=["Number of epochs to train."],
    )
    tasks: list[Task | Literal["all"]] = Field(
        description='The tasks that it applies to; ["all"] for every task.', examples=[["all"]]
    )
    accepts: list[AcceptedType] = Field(description="Every kind of value that it accepts.")

    @classmethod
    def of(cls, name: str, schema: Mapping[str, Any]) -> Self:
        """Return the view of a field, from its name and its JSON Schema."""
        accepts = [AcceptedType.of(each) for each in _alternatives(schema)]
        usual = accepts[0]
        low = usual.minimum if usual.above is None else usual.above
        high = usual.maximum if usual.below is None else usual.below
        tasks = tasks_of(name)
        return cls(
            name=name,
            type=usual.type,
            default=schema["default"],
            minimum=low,
            maximum=high,
            help=schema["description"],
            tasks=list(ALL) if len(tasks) == len(TASKS) else [t for t in TASKS if t in tasks],
            accepts=accepts,
        )


class ArgumentGroupView(BaseModel):
    """Training arguments that belong together."""

    title: str = Field(description="Title of the group.", examples=["Length"])
    fields: list[ArgumentView] = Field(description="Its arguments, in the order to show them in.")


class MetricChoiceView(BaseModel):
    """A metric that can choose `best.pt` and further checkpoints."""

    name: str = Field(
        description="Its name, as in `customize.best_model.metric`.",
        examples=["metrics/mAP50-95(B)"],
    )
    direction: Direction = Field(description="Whether a higher or a lower value is better.")
    needs: str | None = Field(
        description="The customization that computes it, such as `metrics.f1`, which choosing the "
        "metric switches on. null: it is always there.",
        examples=[None, "metrics.f1"],
    )
    tasks: list[Task] = Field(description="The tasks that have it.")


class JobSchemaView(BaseModel):
    """What a form for jobs needs: the training arguments by group, and the metrics to choose."""

    task: Task | None = Field(description="The task that was asked for. null: all tasks.")
    groups: list[ArgumentGroupView] = Field(description="Groups in the order to show them in.")
    metrics: list[MetricChoiceView] = Field(description="The metrics of the task, or of all.")

    @classmethod
    def of(cls, task: Task | None) -> Self:
        """Return the arguments and metrics of a task; None: of all."""
        schemas = TrainArguments.model_json_schema()["properties"]
        groups = [
            ArgumentGroupView(
                title=title,
                fields=[
                    ArgumentView.of(name, schemas[name])
                    for name in names
                    if task is None or task in tasks_of(name)
                ],
            )
            for title, names in GROUPS.items()
        ]
        return cls(
            task=task, groups=[each for each in groups if each.fields], metrics=_metrics(task)
        )


class LeftOutView(BaseModel):
    """An argument that is not in the spec."""

    argument: str = Field(description="Its name, as it was written.", examples=["device"])
    because: str = Field(
        description="The reason, and what to do instead.",
        examples=["The worker chooses the device; use resources.gpus."],
    )


class ParsedView(BaseModel):
    """A training in Ultralytics' words as a job spec."""

    spec: dict[str, JsonValue] = Field(
        description="The part of a job spec that the text gives; every field of it is valid.",
        examples=[{"model": "yolo26n.pt", "train": {"epochs": 100, "imgsz": 640}}],
    )
    missing: list[Literal["model", "dataset"]] = Field(
        description="Fields to add before the spec can be posted to /v1/jobs.",
        examples=[["dataset"]],
    )
    left_out: list[LeftOutView] = Field(description="What is not in the spec, and why.")

    @classmethod
    def of(cls, translation: Translation) -> Self:
        """Return the view of a translation."""
        return cls(
            spec=translation.spec,
            missing=[name for name in REQUIRED if name not in translation.spec],
            left_out=[
                LeftOutView(argument=each.argument, because=each.because)
                for each in translation.left_out
            ],
        )


def _alternatives(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "anyOf" not in schema:
        yield schema
        return
    for each in schema["anyOf"]:
        yield from _alternatives(each)


def _metrics(task: Task | None) -> list[MetricChoiceView]:
    tasks_with: dict[str, list[Task]] = {}
    directions: dict[str, Direction] = {}
    for each in TASKS if task is None else (task,):
        for name, direction in metrics_of(each).items():
            tasks_with.setdefault(name, []).append(each)
            directions[name] = direction
    f1 = {name for names in F1_METRICS.values() for name in names}
    return [
        MetricChoiceView(
            name=name,
            direction=directions[name],
            needs="metrics.f1" if name in f1 else None,
            tasks=tasks,
        )
        for name, tasks in tasks_with.items()
    ]
