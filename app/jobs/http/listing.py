"""The query and the answer of `GET /v1/jobs`."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from app.core.errors import FieldError, Invalid
from app.core.pages import Cursor, PageSize
from app.core.text_fields import plain_text
from app.jobs.http.job_views import JobRow, ProgressView, progress_view
from app.jobs.listed import ListedJob
from app.jobs.listing.filters import JobFilter
from app.jobs.listing.orders import JobOrder
from app.jobs.search import Search, search_of
from app.jobs.spec.base_model import SpecModel, as_one_error
from app.jobs.states import JobState, Phase

MAX_IDS: Final = 200
MAX_SEARCH_PARTS: Final = 10
_JOB_ID: Final = re.compile("job_[0-7][0-9A-HJKMNP-TV-Z]{25}")
_FIRST_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _instant(value: object) -> object:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
        if instant is None or instant.tzinfo is None:
            raise ValueError  # noqa: TRY301 -- the same answer as for what is no time at all
        return max(instant.astimezone(UTC), _FIRST_TIME)
    except (ValueError, OverflowError):
        message = "It must be a time with its zone, such as 2026-11-30T08:00:00Z (+ is %2B here)."
        raise PydanticCustomError("instant", message) from None


def _job_ids(value: str) -> str:
    ids = value.split(",")
    if len(ids) > MAX_IDS or not all(map(_JOB_ID.fullmatch, ids)):
        message = "It must be 1 to {most} job ids, separated by commas."
        raise PydanticCustomError("job_ids", message, {"most": MAX_IDS})
    return value


def _searchable(value: str) -> str:
    if not 0 < len(search_of(value)) <= MAX_SEARCH_PARTS:
        message = "It must have 1 to {most} words, tags (key=value) or beginnings of job ids."
        raise PydanticCustomError("search", message, {"most": MAX_SEARCH_PARTS})
    return value


Filter = Annotated[str, Field(max_length=200), BeforeValidator(plain_text)]
Instant = Annotated[datetime, BeforeValidator(_instant)]


class JobListQuery(SpecModel):
    """Filters, order and page of a list of jobs."""

    model_config = ConfigDict(strict=False)

    state: Annotated[
        list[JobState],
        Field(max_length=6, description="Only jobs in this state. Repeat it to allow several."),
    ] = Field(default_factory=list)
    project: Annotated[
        str | None, Field(max_length=200, description="Only jobs of the project with this name.")
    ] = None
    dataset: Annotated[
        Filter | None,
        Field(description="Only jobs that train on this dataset (`ds_…`) or version (`dsv_…`)."),
    ] = None
    model: Annotated[Filter | None, Field(description="Only jobs whose spec has this model.")] = (
        None
    )
    task: Annotated[Filter | None, Field(description="Only jobs of this task.")] = None
    queue: Annotated[Filter | None, Field(description="Only jobs of this queue.")] = None
    parent: Annotated[
        Filter | None, Field(description="Only clones and extensions of the job with this id.")
    ] = None
    best_metric: Annotated[
        Filter | None,
        Field(description="Only jobs whose best epoch was chosen by this metric, so far."),
    ] = None
    name: Annotated[
        Filter | None, Field(description="Only jobs whose name begins with this text.")
    ] = None
    q: Annotated[
        Filter | None,
        AfterValidator(lambda value: value if value is None else _searchable(value)),
        Field(
            description="Only jobs that match every part of this text, separated by spaces: "
            "`key=value` is a tag, `job_01JD…` a job id or its beginning, and everything else the "
            "beginning of a word of the name, in upper or lower case.",
            examples=["night line=4"],
        ),
    ] = None
    ids: Annotated[
        str | None,
        AfterValidator(lambda value: value if value is None else _job_ids(value)),
        Field(
            max_length=MAX_IDS * 31,
            description=f"Only these jobs: up to {MAX_IDS} ids, separated by commas. The list "
            "has them in its own order, and without those that you cannot see.",
        ),
    ] = None
    created_after: Annotated[
        Instant | None,
        Field(description="Only jobs created after this time.", examples=["2026-11-30T08:00:00Z"]),
    ] = None
    ended_after: Annotated[
        Instant | None,
        Field(description="Only jobs that ended after this time.", examples=["2026-11-30T08:00Z"]),
    ] = None
    trashed: Annotated[
        bool, Field(description="true: only jobs in the trash. false: only jobs outside it.")
    ] = False
    tag: Annotated[
        list[
            Annotated[
                str,
                Field(pattern=r"^[^:\x00-\x1f]{1,63}:[^\x00-\x1f]{0,256}$"),
                as_one_error("tag_filter", "Write a tag as key:value, such as line:4."),
            ]
        ],
        Field(
            max_length=10,
            description="Only jobs with this tag, as key:value. Repeat it to require several.",
        ),
    ] = Field(default_factory=list)
    sort: Annotated[
        Literal["-created", "created", "-ended", "ended", "name", "-name", "-best", "best"],
        Field(
            description="The order. `-best` has the best job first, in the direction of its "
            "metric, and jobs without a value last; it requires `dataset` or `best_metric`. "
            "`ended` lists ended jobs only."
        ),
    ] = "-created"
    fields: Annotated[
        Literal["progress"] | None,
        Field(description="progress: rows have `id`, `state`, `phase` and `progress` only."),
    ] = None
    counts: Annotated[
        bool,
        Field(
            description="true: add the number of jobs in each state, under the same filters "
            "except `state`."
        ),
    ] = False
    cursor: Cursor = None
    limit: PageSize = 50

    @property
    def order(self) -> JobOrder:
        """The order of the list."""
        return JobOrder(self.sort.lstrip("-"), self.sort.startswith("-"))

    def filters(self) -> JobFilter:
        """Return the filters of the list.

        Raises:
            Invalid: the order compares values that cannot be compared.
        """
        if self.order.key == "best" and self.dataset is None and self.best_metric is None:
            message = "Values of different metrics are not comparable: add dataset or best_metric."
            raise Invalid(message, errors=[FieldError("query/sort", "missing-filter", message)])
        pairs = [tag.partition(":") for tag in self.tag]
        return JobFilter(
            states=tuple(dict.fromkeys(self.state)),
            dataset=self.dataset,
            model=self.model,
            task=self.task,
            queue=self.queue,
            parent=self.parent,
            best_metric=self.best_metric,
            name_prefix=self.name,
            tags=tuple((key, value) for key, _, value in pairs),
            search=Search() if self.q is None else search_of(self.q),
            ids=None if self.ids is None else tuple(dict.fromkeys(self.ids.split(","))),
            created_after=self.created_after,
            ended_after=self.ended_after,
            in_trash=self.trashed,
        )


class JobProgressRow(BaseModel):
    """What changes in a list while jobs run."""

    id: str = Field(description="Id of the job.", examples=["job_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    state: JobState = Field(description="What the job does.", examples=["running"])
    phase: Phase | None = Field(
        description="What its attempt does. null unless the job is running.", examples=["training"]
    )
    progress: ProgressView | None = Field(
        description="Progress of the running or the last attempt. null: no attempt has reported "
        "any."
    )

    @classmethod
    def of(cls, listed: ListedJob) -> "JobProgressRow":
        """Return the row of one job."""
        job = listed.job
        progress = progress_view(listed)
        return cls(id=job.id, state=job.state, phase=job.phase, progress=progress)


class JobPage(BaseModel):
    """One page of a list of jobs; `next` is the cursor of the next page."""

    data: list[JobRow] | list[JobProgressRow] = Field(
        description="The jobs of this page; with `fields=progress`, only what changes while they "
        "run."
    )
    next: str | None = Field(
        description="Cursor of the next page; send it as `cursor`. null: this is the last page.",
        examples=[None],
    )
    has_more: bool = Field(
        description="Whether there may be more jobs. With several filters, each of which many jobs "
        "match, a page can have fewer jobs than `limit`, or none, although others follow.",
        examples=[False],
    )
    counts: dict[JobState, int] | None = Field(
        default=None,
        exclude_if=lambda counts: counts is None,
        description="The number of jobs in each state. Only with `counts=true`.",
        examples=[{"running": 3, "succeeded": 120}],
    )
    counts_capped: list[JobState] | None = Field(
        default=None,
        exclude_if=lambda capped: capped is None,
        description="The states that have more jobs than `counts` says: with filters, counting "
        "stops at 1000 jobs of a state. Only with `counts=true`.",
        examples=[[]],
    )
