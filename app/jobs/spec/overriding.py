"""What a spec gets where Ultralytics overrides its arguments: refusals, values that run, warnings.

A job with a trainer plugin gets none of them: the plugin may build data and batches differently.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from app.jobs.spec.base_model import SpecProblem
from app.jobs.spec.overridden_arguments import ROWS
from app.jobs.spec.override_answers import LEFT_OUT, OnlyWarning, Refused, Row, ShownAsItRuns
from app.jobs.spec.override_conditions import AskedArguments
from app.jobs.spec.train_arguments import TrainArguments


@dataclass(frozen=True)
class OverriddenArgument:
    """A row that applies to a job: the argument to point at, and the message."""

    argument: str
    message: str


def problems_of(asked: AskedArguments) -> list[SpecProblem]:
    """Return a problem for each field because of which the job can never train."""
    return [
        SpecProblem(place, row.answer.code, row.message(asked))
        for row in _applying(asked)
        if isinstance(row.answer, Refused)
        for place in row.answer.places(asked)
    ]


def as_it_runs(asked: AskedArguments) -> TrainArguments:
    """Return the arguments with the values that run, without those that have no effect."""
    values = {name: getattr(asked.train, name) for name in asked.train.model_fields_set}
    for row in _applying(asked):
        if isinstance(row.answer, ShownAsItRuns):
            changes = row.answer.values(asked)
            values |= {name: value for name, value in changes.items() if name in values}
    return TrainArguments(**{name: it for name, it in values.items() if it is not LEFT_OUT})


def overridden(asked: AskedArguments, submitted: TrainArguments) -> list[OverriddenArgument]:
    """Return the rows to warn of, each at the first argument that it overrides.

    Args:
        asked: the arguments with defaults, and the facts.
        submitted: the arguments with only those set that the user set.
    """
    found = ((row, next(_to_warn_of(row, asked, submitted), None)) for row in _applying(asked))
    return [OverriddenArgument(name, row.message(asked)) for row, name in found if name is not None]


def _applying(asked: AskedArguments) -> Iterator[Row]:
    if not asked.has_plugin:
        yield from (row for row in ROWS if row.applies(asked))


def _to_warn_of(row: Row, asked: AskedArguments, submitted: TrainArguments) -> Iterator[str]:
    """Yield the arguments of the row that do not run as set, those that the user set first."""
    users = submitted.model_fields_set
    match row.answer:
        case ShownAsItRuns(values, even_defaults):
            runs = values(asked)
            for name in sorted(runs, key=lambda name: name not in users):
                counts = name in users or (even_defaults and name in asked.train.model_fields_set)
                if counts and runs[name] != getattr(asked.train, name):
                    yield name
        case OnlyWarning():
            yield from (name for name in row.arguments if name in users)
