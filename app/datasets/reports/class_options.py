"""The options that change classes: `class_map` renames, merges and drops; `colours` name masks."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from app.core.plain_text import is_plain

MAX_CLASSES: Final = 30_000
MAX_COLOURS: Final = 255
"""Ids of masks are 0 to 255, and 255 is a pixel that does not count."""


def _class_name(value: str) -> str:
    if not value.strip() or not is_plain(value):
        raise PydanticCustomError("class-name", "A class name has printable characters.")
    return value


Colour = tuple[int, int, int]
ClassName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_class_name)]
PresentName = Annotated[str, Field(min_length=1, max_length=1000)]
"""The name of a class in the archive, which may be unfit for a dataset."""

Level = Annotated[int, Field(strict=True, ge=0, le=255)]


def _differing(colours: dict[str, Colour]) -> dict[str, Colour]:
    if len(set(colours.values())) < len(colours):
        raise PydanticCustomError("equal-colours", "Each class has a colour of its own.")
    return colours


ClassMap = Annotated[
    dict[PresentName, ClassName | None], Field(min_length=1, max_length=MAX_CLASSES)
]
Colours = Annotated[
    dict[ClassName, tuple[Level, Level, Level]],
    Field(min_length=1, max_length=MAX_COLOURS),
    AfterValidator(_differing),
]
