"""The job spec: the public JSON that describes a training job.

An instance is valid by itself. Whether its dataset, model and queue exist is checked elsewhere.
Regenerate the pinned schema with `python -m app.jobs.spec > docs/schema/job-spec.schema.json`.
"""

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.core.class_weights import inverse_frequency
from app.core.tasks import Task
from app.jobs.spec.base_model import (
    SpecModel,
    SpecProblem,
    as_one_error,
    problems_as_error,
    refuse_if,
)
from app.jobs.spec.customize import (
    BestModel,
    Customize,
    ExplicitClassWeights,
    InverseFrequencyClassWeights,
)
from app.jobs.spec.customize_checks import (
    check_for_architecture,
    check_for_classes,
    check_for_task,
)
from app.jobs.spec.metric_table import F1_METRICS, FITNESS, direction_of
from app.jobs.spec.override_conditions import AskedArguments
from app.jobs.spec.overriding import as_it_runs, problems_of
from app.jobs.spec.spec_facts import SpecFacts
from app.jobs.spec.text_fields import (
    DATASET_VERSION_PATTERN,
    TAG_KEY_PATTERN,
    DatasetRef,
    ModelRef,
    Name,
    Notes,
    ProjectName,
    Slug,
    TagKey,
    TagValue,
    as_map,
    storable_json,
)
from app.jobs.spec.train_arguments import TrainArguments, check_task
from app.models.architectures import architecture as shipped_architecture

__all__ = [
    "SPEC_VERSION",
    "JobSpec",
    "ResolvedSpec",
    "Resources",
    "SpecFacts",
    "SpecProblem",
    "TrainArguments",
    "TrainerChoice",
    "asked_of",
    "check_task",
    "job_spec_json_schema",
    "resolve_again",
    "resolve_spec",
]

SPEC_VERSION: Final = 1
MAX_OPTIONS_CHARACTERS: Final = 65_536

_TAG_KEY: Final = re.compile(TAG_KEY_PATTERN.removesuffix("$") + r"\Z")

OnOutOfMemory = Literal["halve_batch", "fail"]


def _tag_keys_are_words(tags: object) -> object:
    """Refuse a bad key at the field itself; pydantic points at a path that the JSON lacks."""
    if isinstance(tags, dict) and not all(
        isinstance(key, str) and _TAG_KEY.match(key) for key in tags
    ):
        raise PydanticCustomError(
            "tag_key", "Each tag key must be 1 to 63 letters, digits or ._/- characters."
        )
    return tags


DatasetVersionRef = Annotated[str, StringConstraints(pattern=DATASET_VERSION_PATTERN)]
Gpus = Annotated[
    int,
    Field(ge=0, json_schema_extra={"maximum": 1}),
    AfterValidator(
        refuse_if(
            lambda gpus: gpus > 1, "not_supported_yet", "More than one GPU is not supported yet."
        )
    ),
]
Tags = Annotated[
    dict[TagKey, TagValue],
    Field(max_length=32, json_schema_extra=as_map),
    BeforeValidator(_tag_keys_are_words),
]


class Resources(SpecModel):
    """Where a job may run."""

    gpus: Gpus | None = Field(
        default=None,
        description="0: a CPU slot. 1: a slot with one GPU. null: any slot.",
        examples=[1],
    )
    queue: Slug = Field(
        default="default",
        description="The queue to wait in. Each worker serves the queues of its configuration.",
    )


class TrainerChoice(SpecModel):
    """A trainer plugin that the operator installed, and its options."""

    name: Slug = Field(
        description="Name of the plugin, as in GET /v1/trainers.", examples=["weighted_boxes"]
    )
    options: Annotated[
        dict[str, JsonValue],
        as_one_error("options", "Options are a JSON object, nested a few levels deep."),
        AfterValidator(storable_json),
        AfterValidator(
            refuse_if(
                lambda options: len(json.dumps(options)) > MAX_OPTIONS_CHARACTERS,
                "options_too_long",
                f"Options are at most {MAX_OPTIONS_CHARACTERS} characters of JSON.",
            )
        ),
    ] = Field(
        default_factory=dict,
        description="Options that match the plugin's schema.",
        examples=[{"gain": 2.0}],
    )


ELSEWHERE: Final = {
    **{name: f"/train/{name}" for name in TrainArguments.model_fields},
    **{name: f"/customize/{name}" for name in Customize.model_fields},
    **{name: f"/resources/{name}" for name in Resources.model_fields},
}


class JobSpec(SpecModel):
    """A job as its user submits it."""

    elsewhere = ELSEWHERE
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "night shift, line 4",
                    "dataset": "ds_01JZ8QD3W5X0A1B2C3D4E5F6G7",
                    "model": "yolo26n.yaml",
                    "train": {"epochs": 100, "imgsz": 640},
                    "tags": {"line": "4"},
                }
            ]
        }
    )

    name: Name | None = Field(
        default=None,
        description="Shown in lists. Does not have to be unique.",
        examples=["night shift, line 4"],
    )
    project: ProjectName = Field(default="default", description="The project that owns the job.")
    dataset: DatasetRef = Field(
        description="A dataset by id or name (ds_…, bccd: the job uses its newest ready version) "
        "or one version (dsv_…, bccd@3).",
        examples=["ds_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )
    model: ModelRef = Field(
        description="yolo26n.pt (pretrained weights that the operator added), "
        "yolo26n.yaml (from scratch), mdl_… (a model of this service) "
        "or job_… (that job's best.pt).",
        examples=["yolo26n.pt"],
    )
    task: Task | None = Field(default=None, description="The task. null: the model's task.")
    train: TrainArguments = Field(default_factory=TrainArguments, description="Training arguments.")
    customize: Customize | None = Field(
        default=None, description="Customizations of the training. null: none."
    )
    trainer: TrainerChoice | None = Field(
        default=None, description="A trainer plugin that the operator installed. null: none."
    )
    resources: Resources = Field(default_factory=Resources, description="Where the job may run.")
    priority: int = Field(
        default=0, ge=-100, le=100, description="A job with a higher priority runs first."
    )
    max_restarts: int = Field(
        default=5,
        ge=0,
        le=100,
        description="Number of retryable failures allowed since the last new epoch.",
    )
    timeout_hours: float | None = Field(
        default=None,
        gt=0,
        le=8760,
        description="Hours of running after which the job is stopped. Its result is kept.",
        examples=[12.0],
    )
    on_oom: OnOutOfMemory | None = Field(
        default=None,
        description="When memory runs out: try once more with half the batch, or fail. "
        "null: halve_batch if train.batch is not set, else fail.",
    )
    tags: Tags = Field(
        default_factory=dict,
        description="Key-value pairs to filter jobs by.",
        examples=[{"line": "4"}],
    )
    notes: Notes = Field(default="", description="Free text.")

    @model_validator(mode="after")
    def _arguments_fit_the_task(self) -> Self:
        if self.task is None:
            return self
        problems = _within("train", check_task(self.train, self.task))
        if self.customize is not None:
            found = check_for_task(
                self.customize,
                self.task,
                single_cls=self.train.single_cls,
                has_plugin=self.trainer is not None,
            )
            problems += _within("customize", found)
        if problems:
            raise problems_as_error(type(self).__name__, problems)
        return self


class ResolvedSpec(JobSpec):
    """A job as it will run: every value is set, so that later changes of defaults do not matter.

    Only values that `optimizer: auto` decides during the training stay unset in `train`. Text was
    checked when the job was submitted: an earlier release accepted more characters.
    """

    name: str | None = Field(
        default=None, description="Display name. null: none.", examples=["night-shift"]
    )
    tags: dict[str, str] = Field(
        default_factory=dict,
        description="Key-value pairs to filter jobs by.",
        examples=[{"line": "4"}],
    )
    notes: str = Field(default="", description="Free text.")
    dataset: DatasetVersionRef = Field(
        description="The version of the dataset.", examples=["dsv_01JZ8QD3W5X0A1B2C3D4E5F6G7"]
    )
    task: Task = Field(description="The task.", examples=["detect"])
    customize: Annotated[Customize, BeforeValidator(lambda value: value or Customize())] = Field(
        default_factory=Customize,
        description="The customizations, including those that another part switched on.",
    )
    on_oom: OnOutOfMemory = Field(
        description="When memory runs out: try once more with half the batch, or fail."
    )
    architecture: str | None = Field(
        default=None, description="The shipped yaml of the model. null: another architecture."
    )
    class_weights: dict[str, float] | None = Field(
        default=None,
        description="The weight of every class, from customize.class_weights. "
        "null: no weights, or balanced ones, which Ultralytics computes.",
    )
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="CPU threads. Set at the first attempt."
    )


def resolve_spec(spec: JobSpec, facts: SpecFacts) -> ResolvedSpec:
    """Return the spec as it will run, with every value set that its user left open.

    Raises:
        pydantic.ValidationError: a part of the spec does not fit the task, the classes of the
            dataset or the layers of the model, or the job can never train.
    """
    fields: dict[str, Any] = {name: getattr(spec, name) for name in JobSpec.model_fields}
    checked = JobSpec(**fields | {"task": facts.task})
    customize = checked.customize or Customize()
    asked = asked_of(checked, facts)
    problems = _within("customize", _misfits(customize, facts)) + problems_of(asked)
    if problems:
        raise problems_as_error(JobSpec.__name__, problems)
    frozen = {
        "dataset": facts.dataset_version,
        "task": facts.task,
        "train": as_it_runs(asked),
        "customize": _completed(customize, facts.task),
        "on_oom": spec.on_oom or _on_out_of_memory(spec.train),
        "architecture": facts.architecture,
        "class_weights": _class_weights(customize, facts),
    }
    return ResolvedSpec(**fields | frozen)


def asked_of(spec: JobSpec, facts: SpecFacts) -> AskedArguments:
    """Return the arguments of the spec with defaults, and the facts that decide what they do."""
    return AskedArguments(
        train=spec.train.effective(facts.task),
        model=spec.model,
        gpus=spec.resources.gpus,
        has_plugin=spec.trainer is not None,
        facts=facts,
    )


def resolve_again(spec: ResolvedSpec, facts: SpecFacts) -> ResolvedSpec:
    """Return a resolved spec, perhaps of an earlier release, with the arguments that run.

    Raises:
        pydantic.ValidationError: the job can never train.
    """
    asked = asked_of(spec, facts)
    if problems := problems_of(asked):
        raise problems_as_error(JobSpec.__name__, problems)
    return spec.model_copy(update={"train": as_it_runs(asked)})


def _on_out_of_memory(train: TrainArguments) -> OnOutOfMemory:
    """Never change a batch size that the user has set."""
    return "fail" if "batch" in train.model_fields_set else "halve_batch"


def _misfits(customize: Customize, facts: SpecFacts) -> list[SpecProblem]:
    problems = check_for_classes(customize, facts.task, facts.classes)
    shipped = shipped_architecture(facts.architecture or "")
    if shipped is not None:
        learning = facts.layers_with_parameters or frozenset(range(shipped.layers))
        problems += check_for_architecture(customize, shipped, learning)
    return problems


def _completed(customize: Customize, task: Task) -> Customize:
    """Return the customizations with all that they require switched on, and directions set."""
    best = customize.best_model or BestModel(metric=FITNESS)
    chosen = {metric for metric, _ in customize.chosen_metrics().values()}
    needs_f1 = not chosen.isdisjoint(F1_METRICS[task])
    metrics = customize.metrics.model_copy(update={"f1": customize.metrics.f1 or needs_f1})
    kept = tuple(
        entry.model_copy(update={"direction": direction_of(task, entry.metric) or entry.direction})
        for entry in customize.keep_best
    )
    direction = direction_of(task, best.metric) or best.direction
    completed = {
        "metrics": metrics,
        "best_model": best.model_copy(update={"direction": direction}),
        "keep_best": kept,
    }
    return customize.model_copy(update=completed)


def _class_weights(customize: Customize, facts: SpecFacts) -> dict[str, float] | None:
    match customize.class_weights:
        case ExplicitClassWeights(weights=named):
            return {name: named.get(name, 1.0) for name in facts.classes}
        case InverseFrequencyClassWeights(cap=cap):
            return inverse_frequency(facts.class_counts, facts.classes, cap=cap)
        case _:
            return None


def _within(field: str, problems: Iterable[SpecProblem]) -> list[SpecProblem]:
    return [
        SpecProblem((field, *problem.loc), problem.code, problem.message) for problem in problems
    ]


def job_spec_json_schema() -> dict[str, Any]:
    """Return the JSON schema of a submitted spec, as pinned in docs/schema/job-spec.schema.json."""
    return JobSpec.model_json_schema(mode="validation")
