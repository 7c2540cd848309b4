"""The rows of `overridden_arguments`: a case in which Ultralytics overrides, and our answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from app.jobs.spec.override_conditions import AskedArguments

Place: TypeAlias = tuple[str, str]


LEFT_OUT: Final = object()
"""The mark of an argument without an off value: it is left out of what is shown."""
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
    places: Callable[[AskedArguments], Sequence[Place]]


@dataclass(frozen=True)
class ShownAsItRuns:
    """The resolved spec shows the values that run; the plan warns of those that the user set.

    With `even_defaults` the plan also warns if the user left the arguments open.
    """

    values: Callable[[AskedArguments], Values]
    even_defaults: bool = False


@dataclass(frozen=True)
class OnlyWarning:
    """The plan warns if the user set an argument of the row, whose value stays."""


@dataclass(frozen=True)
class OtherAnswer:
    """Another part answers, named here: a check of the spec, a warning of the plan, or the log."""

    where: str


Answer: TypeAlias = Refused | ShownAsItRuns | OnlyWarning | OtherAnswer


@dataclass(frozen=True)
class Row:
    """One case: these arguments, under this condition.

    Args:
        arguments: names, as in `TrainArguments`.
        says: the condition and what Ultralytics does, for the user, with names of details.
        source: where Ultralytics does it.
        answer: what we do.
        applies: the condition; never, where another part answers.
    """

    arguments: tuple[str, ...]
    says: str
    source: Source
    answer: Answer
    applies: Callable[[AskedArguments], bool] = lambda _: False

    def message(self, asked: AskedArguments) -> str:
        """Return the message about a job that the row applies to."""
        return self.says.format_map(asked.details())
