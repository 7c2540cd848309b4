"""The rows of `overridden_arguments`: a case in which Ultralytics overrides, and our answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from app.jobs.spec.override_conditions import Asked

Place: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Left:
    """The mark of an argument without an off value: it is left out of what is shown."""


LEFT_OUT: Final = Left()
Values: TypeAlias = Mapping[str, object]


@dataclass(frozen=True)
class Source:
    """A line of Ultralytics, and a part of its text."""

    file: str
    line: int
    text: str


@dataclass(frozen=True)
class Refused:
    """The job can never train: the spec is refused at these fields."""

    code: str
    places: Callable[[Asked], Sequence[Place]]


@dataclass(frozen=True)
class ShownAsItRuns:
    """The resolved spec shows the values that run; the plan warns of those that the user set.

    With `even_defaults` the plan also warns if the user left the arguments open.
    """

    values: Callable[[Asked], Values]
    even_defaults: bool = False


@dataclass(frozen=True)
class OnlyWarned:
    """The plan warns if the user set an argument of the row, whose value stays."""


@dataclass(frozen=True)
class AnsweredElsewhere:
    """Another part answers, named here: a check of the spec, a warning of the plan, or the log."""

    where: str


Answer: TypeAlias = Refused | ShownAsItRuns | OnlyWarned | AnsweredElsewhere


@dataclass(frozen=True)
class Row:
    """One case: these arguments, under this condition.

    Args:
        arguments: names, as in `TrainArguments`.
        says: the condition and what Ultralytics does, for the user; `Asked.details` fills it in.
        source: where Ultralytics does it.
        answer: what we do.
        applies: the condition; never, where another part answers.
    """

    arguments: tuple[str, ...]
    says: str
    source: Source
    answer: Answer
    applies: Callable[[Asked], bool] = lambda _: False

    def message(self, asked: Asked) -> str:
        """Return what the user is told about a job that the row applies to."""
        return self.says.format_map(asked.details())
