"""Ranges of epochs in queries: `all`, `7` or `1-50`."""

from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field

from app.core.errors import FieldError, Invalid

EpochRangeText = Annotated[
    str, Field(pattern=r"^(all|[1-9][0-9]{0,5}(-[1-9][0-9]{0,5})?)$", examples=["1-50"])
]


@dataclass(frozen=True)
class EpochRange:
    """The epochs from `first` to `last`; None as `last` is the last one."""

    first: int
    last: int | None

    @classmethod
    def parse(cls, text: str, *, pointer: str) -> Self:
        """Read a text that has the form of `EpochRangeText`.

        Raises:
            Invalid: the range ends before it begins.
        """
        if text == "all":
            return cls(1, None)
        first, _, last = text.partition("-")
        found = cls(int(first), int(last or first))
        if found.last is not None and found.last < found.first:
            message = "The range ends before it begins; write the smaller epoch first: 1-50."
            raise Invalid(message, errors=[FieldError(pointer, "epoch-range", message)])
        return found
