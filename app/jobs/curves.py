"""The curves of jobs: the metrics of every finished epoch, how long it took, and what changed.

A fixed number of statements reads the curves of any number of jobs. What changed comes from the
rows of epochs and from the spec: both say it of every job, whichever release trained it.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.jobs.errors import SeriesTooLong
from app.jobs.lineage import Generation, generations_of
from app.jobs.spec.train_arguments import tasks_of
from app.jobs.tables import Attempt, Epoch, Job

MOST_VALUES: Final = 1_000_000
"""The most numbers in one response: ten series of a training of 100,000 epochs."""
ROWS_AT_ONCE: Final = 500

Series = dict[str, list[float | None]]


class MarkKind(StrEnum):
    """What changed at the start of an epoch."""

    EXTENDED = "extended"
    RESUMED = "resumed"
    LAYERS_UNFROZEN = "layers_unfrozen"
    MOSAIC_CLOSED = "mosaic_closed"


@dataclass(frozen=True)
class Mark:
    """Something that changed at the start of an epoch."""

    epoch: int
    kind: MarkKind


@dataclass(frozen=True)
class Selection:
    """The part of curves to read: series by name (None: all), epochs after one up to another."""

    keys: frozenset[str] | None = None
    since: int = 0
    until: int | None = None


@dataclass
class Curve:
    """The columns of a curve, of equal length.

    `seconds` are those of the job's running time at the end of each epoch. With a lineage they
    continue those of the jobs before.
    """

    best: int | None
    lineage: Sequence[Generation] = ()
    epochs: list[int] = field(default_factory=list)
    series: Series = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    ended_at: list[datetime] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True)
class CurveSource:
    """A job, the jobs that trained parts of its curve, and their rows by id."""

    job: Any
    generations: Sequence[Generation]
    rows: Mapping[str, Any]

    @property
    def known(self) -> list[Generation]:
        """The generations that were not deleted."""
        return [each for each in self.generations if each.job_id in self.rows]


def curve_sources(
    session: Session, project_ids: Collection[str], job_ids: Collection[str], *, lineage: bool
) -> dict[str, CurveSource]:
    """Return what the curves of jobs consist of, in the order of `job_ids`.

    Jobs that are not in the caller's projects are left out. `lineage` includes the ancestors.
    """
    lines = (
        generations_of(session, job_ids)
        if lineage
        else {job_id: [Generation(job_id, 1, None)] for job_id in job_ids}
    )
    ids = {each.job_id for line in lines.values() for each in line if each.job_id is not None}
    statement = select(Job.id, Job.best_epoch, Job.last_seq, Job.resolved_spec).where(
        Job.project_id.in_(project_ids), Job.id.in_(ids)
    )
    rows = {row.id: row for row in session.execute(statement)}
    found = {job_id: rows[job_id] for job_id in job_ids if job_id in rows}
    return {job_id: CurveSource(job, lines[job_id], rows) for job_id, job in found.items()}


def tag_of_curves(sources: Mapping[str, CurveSource], *asked: object) -> str:
    """Return the entity tag of what was asked for; every new or dropped epoch changes it."""
    facts = [
        (generation, row.last_seq, row.best_epoch)
        for source in sources.values()
        for generation in source.known
        if (row := source.rows[str(generation.job_id)])
    ]
    digest = hashlib.sha256(repr((list(sources), facts, asked)).encode()).hexdigest()
    return f'W/"{digest[:32]}"'


def read_curves(
    session: Session, sources: Mapping[str, CurveSource], selection: Selection
) -> dict[str, Curve]:
    """Read the curves with two statements.

    Raises:
        SeriesTooLong: they have more than `MOST_VALUES` numbers.
    """
    parts = _parts(session, sources.values(), selection)
    budget = _Budget()
    return {job_id: _curve(source, parts, selection, budget) for job_id, source in sources.items()}


def system_of_epochs(
    session: Session, job_id: str, *, since: int, until: int | None
) -> Iterator[tuple[int, dict[str, float | None]]]:
    """Yield number and use of a visible job's epochs after `since` up to `until`, in order."""
    statement = select(Epoch.epoch, Epoch.system).where(Epoch.job_id == job_id, Epoch.epoch > since)
    if until is not None:
        statement = statement.where(Epoch.epoch <= until)
    rows = session.execute(
        statement.order_by(Epoch.epoch).execution_options(yield_per=ROWS_AT_ONCE)
    )
    yield from ((row.epoch, row.system) for row in rows)


class _Budget:
    """Counts numbers, so that no request reads more than fit into memory."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def take(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise SeriesTooLong(
                "query/keys",
                f"The series have more than {MOST_VALUES} numbers. Ask for fewer of them with "
                "keys, for fewer jobs, or for the epochs in parts with since and until.",
            )


@dataclass
class _Part:
    """The epochs that one job trained, as far as they are needed."""

    epochs: list[int] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    ended_at: list[datetime] = field(default_factory=list)
    series: Series = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def add(self, row: Any, keys: frozenset[str] | None) -> int:  # noqa: ANN401 -- a row
        """Add an epoch and return the number of its values."""
        values = {
            name: value
            for name, value in {**row.metrics, **row.lr}.items()
            if keys is None or name in keys
        }
        missing = [None] * len(self.epochs)
        for name, value in values.items():
            self.series.setdefault(name, list(missing)).append(value)
        for name in self.series.keys() - values.keys():
            self.series[name].append(None)
        self.epochs.append(row.epoch)
        self.attempts.append(row.attempt)
        self.ended_at.append(row.created_at)
        return len(self.series)

    def measure(self, attempts: Mapping[int, Any]) -> None:
        """Compute the running time at the end of each epoch, over all attempts of the job."""
        ran, before = 0.0, {}
        for number, attempt in attempts.items():
            before[number] = ran
            if attempt.ended_at is not None:
                ran += (attempt.ended_at - attempt.started_at).total_seconds()
        self.seconds = [
            before[number] + (ended_at - attempts[number].started_at).total_seconds()
            if number in attempts
            else 0.0
            for number, ended_at in zip(self.attempts, self.ended_at, strict=True)
        ]

    def ran_until(self, epoch: int | None) -> float:
        """Return the running time at the end of an epoch."""
        if epoch is None:
            return 0.0
        place = bisect_right(self.epochs, epoch) - 1
        return self.seconds[place] if place >= 0 else 0.0


def _parts(
    session: Session, sources: Collection[CurveSource], selection: Selection
) -> dict[str, _Part]:
    generations = [each for source in sources for each in source.known]
    ids = {str(each.job_id) for each in generations}
    joints = {each.last_epoch for each in generations if each.last_epoch is not None}
    parts = {job_id: _Part() for job_id in ids}
    # The epoch before the first one tells whether an attempt begins there, and those at a joint
    # how long a job ran until then.
    wanted = Epoch.epoch >= selection.since
    if selection.until is not None:
        wanted &= Epoch.epoch <= selection.until
    statement = (
        select(Epoch.job_id, Epoch.epoch, Epoch.attempt, Epoch.metrics, Epoch.lr, Epoch.created_at)
        .where(Epoch.job_id.in_(ids), or_(wanted, Epoch.epoch.in_(joints)))
        .order_by(Epoch.job_id, Epoch.epoch)
        .execution_options(yield_per=ROWS_AT_ONCE)
    )
    budget = _Budget()
    with session.execute(statement) as rows:
        for row in rows:
            budget.take(parts[row.job_id].add(row, selection.keys))
    attempts = _attempts(session, ids)
    for job_id, part in parts.items():
        part.measure(attempts.get(job_id, {}))
    return parts


def _attempts(session: Session, job_ids: Collection[str]) -> dict[str, dict[int, Any]]:
    """Return the attempts of jobs by number, in order."""
    found: dict[str, dict[int, Any]] = {}
    statement = (
        select(Attempt.job_id, Attempt.number, Attempt.started_at, Attempt.ended_at)
        .where(Attempt.job_id.in_(job_ids))
        .order_by(Attempt.job_id, Attempt.number)
    )
    for row in session.execute(statement):
        found.setdefault(row.job_id, {})[row.number] = row
    return found


def _curve(
    source: CurveSource, parts: Mapping[str, _Part], selection: Selection, budget: _Budget
) -> Curve:
    curve = Curve(source.job.best_epoch, source.generations)
    ran_before = 0.0
    for generation in source.known:
        job_id = str(generation.job_id)
        part = parts[job_id]
        here = _places(part, generation, selection)
        budget.take(len(here) * len(part.series))
        _append(curve, part, here, ran_before=ran_before)
        curve.marks += _marks(part, here, source.rows[job_id].resolved_spec)
        ran_before += part.ran_until(generation.last_epoch)
    return curve


def _places(part: _Part, generation: Generation, selection: Selection) -> range:
    """Return the places of the epochs that this generation adds to the curve."""
    first = bisect_left(part.epochs, max(generation.first_epoch, selection.since + 1))
    lasts = [last for last in (generation.last_epoch, selection.until) if last is not None]
    end = bisect_right(part.epochs, min(lasts)) if lasts else len(part.epochs)
    return range(first, max(first, end))


def _append(curve: Curve, part: _Part, here: range, *, ran_before: float) -> None:
    missing = [None] * len(curve.epochs)
    if here:
        for name in part.series:
            curve.series.setdefault(name, list(missing))
    nothing = [None] * len(here)
    for name, values in curve.series.items():
        here_too = name in part.series
        values.extend(part.series[name][here.start : here.stop] if here_too else nothing)
    curve.epochs += part.epochs[here.start : here.stop]
    curve.ended_at += part.ended_at[here.start : here.stop]
    curve.seconds += [round(ran_before + part.seconds[place], 3) for place in here]


def _marks(part: _Part, here: range, resolved: Mapping[str, Any]) -> Iterator[Mark]:
    """Yield what changed at the start of these epochs of a job, with its resolved spec."""
    unfreezes, closes = _unfreezes(resolved), _mosaic_closes(resolved)
    for place in here:
        epoch = part.epochs[place]
        follows = place > 0 and part.epochs[place - 1] == epoch - 1
        if not follows and epoch > 1:
            yield Mark(epoch, MarkKind.EXTENDED)
        if follows and part.attempts[place - 1] != part.attempts[place]:
            yield Mark(epoch, MarkKind.RESUMED)
        if epoch == unfreezes:
            yield Mark(epoch, MarkKind.LAYERS_UNFROZEN)
        if closes is not None and (epoch == closes or (epoch > closes and not follows)):
            yield Mark(epoch, MarkKind.MOSAIC_CLOSED)


def _unfreezes(resolved: Mapping[str, Any]) -> int | None:
    """Return the epoch from which on the frozen layers learn."""
    freeze = (resolved.get("customize") or {}).get("freeze") or {}
    return freeze["epochs"] + 1 if freeze.get("epochs") is not None else None


def _mosaic_closes(resolved: Mapping[str, Any]) -> int | None:
    """Return the first epoch without mosaic; None if it never closes, or a time budget decides.

    Ultralytics 8.4.190, trainer.py:508.
    """
    train = resolved.get("train") or {}
    closes = train.get("close_mosaic") and train.get("mosaic") and not train.get("time")
    if not closes or resolved.get("task") not in tasks_of("close_mosaic"):
        return None
    return int(train["epochs"] - train["close_mosaic"] + 1)
