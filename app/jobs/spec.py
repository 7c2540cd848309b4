"""The job spec: the public JSON that says what to train.

An instance is valid by itself; whether its data set, model and queue exist is for others to ask.
Regenerate the pinned schema with `python -m app.jobs.spec > docs/schema/job-spec.schema.json`.
"""

import json
import re
import sys
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.jobs.spec_model import SpecModel, SpecProblem, problems_as_error, refuse_if
from app.jobs.spec_text import (
    DATASET_PATTERN,
    DATASET_VERSION_PATTERN,
    MODEL_PATTERN,
    TAG_KEY_PATTERN,
    Name,
    Notes,
    Slug,
    TagKey,
    TagValue,
)
from app.jobs.train_arguments import Task, TrainArguments, check_task

__all__ = [
    "SPEC_VERSION",
    "JobSpec",
    "ResolvedSpec",
    "Resources",
    "SpecProblem",
    "Task",
    "TrainArguments",
    "check_task",
    "job_spec_json_schema",
    "resolve_spec",
]

SPEC_VERSION: Final = 1

_TAG_KEY: Final = re.compile(TAG_KEY_PATTERN.removesuffix("$") + r"\Z")

OnOutOfMemory = Annotated[
    Literal["halve_batch", "fail"],
    AfterValidator(
        refuse_if(
            lambda choice: choice == "halve_batch",
            "not_supported_yet",
            "Going on with half the batch is not supported yet.",
        )
    ),
]


def _nothing_yet(value: object) -> None:
    if value is not None and value != {}:
        raise PydanticCustomError("not_supported_yet", "This is not supported yet.")


def _tag_keys_are_words(tags: object) -> object:
    """Refuse a bad key at the field: pydantic would point at a path that the JSON does not have."""
    if isinstance(tags, dict) and not all(
        isinstance(key, str) and _TAG_KEY.match(key) for key in tags
    ):
        raise PydanticCustomError(
            "tag_key", "Each tag key must be 1 to 63 letters, digits or ._/- characters."
        )
    return tags


NotYet = Annotated[
    None,
    BeforeValidator(_nothing_yet),
    WithJsonSchema({"anyOf": [{"type": "null"}, {"type": "object", "maxProperties": 0}]}),
]

DatasetRef = Annotated[str, StringConstraints(pattern=DATASET_PATTERN)]
DatasetVersionRef = Annotated[str, StringConstraints(pattern=DATASET_VERSION_PATTERN)]
ModelRef = Annotated[str, StringConstraints(pattern=MODEL_PATTERN)]
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
    Field(max_length=32, json_schema_extra={"additionalProperties": False}),
    BeforeValidator(_tag_keys_are_words),
]


class Resources(SpecModel):
    """Where a job may run."""

    gpus: Gpus | None = Field(
        default=None, description="null: any slot; 0: a CPU slot; 1: a slot with one GPU."
    )
    queue: Slug = Field(
        default="default", description="The queue to wait in; workers say which ones they serve."
    )


class JobSpec(SpecModel):
    """A job as its user asks for it."""

    name: Name | None = Field(default=None, description="Shown in lists; need not be unique.")
    project: Slug = Field(default="default", description="The project that owns the job.")
    dataset: DatasetRef = Field(
        description="A data set (ds_…: its newest ready version, which the job then keeps) "
        "or one version (dsv_…)."
    )
    model: ModelRef = Field(
        description="yolo26n.pt (pretrained, brought in by the operator), "
        "yolo26n.yaml (from scratch), mdl_… (a model of this service) "
        "or job_… (that job's best.pt)."
    )
    task: Task | None = Field(default=None, description="What to learn; null: the model's task.")
    train: TrainArguments = Field(default_factory=TrainArguments, description="How to train.")
    customize: NotYet = Field(
        default=None, description="Customizations of the training; none are supported yet."
    )
    trainer: NotYet = Field(
        default=None, description="A trainer installed by the operator; not supported yet."
    )
    resources: Resources = Field(default_factory=Resources, description="Where the job may run.")
    priority: int = Field(default=0, ge=-100, le=100, description="Higher runs first.")
    max_restarts: int = Field(
        default=5, ge=0, le=100, description="Retryable failures allowed since the last new epoch."
    )
    timeout_hours: float | None = Field(
        default=None,
        gt=0,
        le=8760,
        description="Hours of running after which the job is stopped and its result kept.",
    )
    on_oom: OnOutOfMemory | None = Field(
        default=None,
        description="When memory runs out; null: fail. halve_batch is not supported yet.",
    )
    tags: Tags = Field(default_factory=dict, description="Short words to find the job by.")
    notes: Notes = Field(default="", description="Free text.")

    @model_validator(mode="after")
    def _arguments_fit_the_task(self) -> Self:
        problems = check_task(self.train, self.task) if self.task else []
        if problems:
            raise problems_as_error(
                type(self).__name__,
                [SpecProblem(("train", *each.loc), each.code, each.message) for each in problems],
            )
        return self


class ResolvedSpec(JobSpec):
    """A job as it will run: every value stated, nothing left to defaults that may change.

    Only what `optimizer: auto` decides at run time is left open in `train`.
    """

    dataset: DatasetVersionRef
    task: Task
    on_oom: OnOutOfMemory
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="CPU threads; set at the first attempt."
    )


def resolve_spec(spec: JobSpec, *, dataset_version: str, task: Task) -> ResolvedSpec:
    """Return the spec as it will run, with all that its user left open stated.

    Raises:
        pydantic.ValidationError: an argument of `train` has no meaning for the task.
    """
    asked: dict[str, Any] = {name: getattr(spec, name) for name in JobSpec.model_fields}
    checked = JobSpec(**asked | {"task": task})
    frozen = {
        "dataset": dataset_version,
        "task": task,
        "train": checked.train.effective(task),
        "on_oom": spec.on_oom or "fail",
    }
    return ResolvedSpec(**asked | frozen)


def job_spec_json_schema() -> dict[str, Any]:
    """Return the JSON schema of a submitted spec, as pinned in docs/schema/job-spec.schema.json."""
    return JobSpec.model_json_schema(mode="validation")


if __name__ == "__main__":
    json.dump(job_spec_json_schema(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
