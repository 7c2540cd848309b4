"""The types of the fields of trainer events: bounded, storable in every database, paths checked.

The supervisor reads events of a process that may be hostile. What these types accept, it can store.
"""

from functools import partial
from typing import Annotated, Final

from pydantic import AfterValidator, Field, JsonValue, StringConstraints

from app.core.guarded_files import relative_parts
from app.core.plain_text import shown, shown_json

LONGEST_NAME: Final = 200
LONGEST_MESSAGE: Final = 10_000
MOST_ARTIFACTS: Final = 1000
MOST_CHECKPOINT_FILES: Final = 200
MOST_METRICS: Final = 10_000
LARGEST_COUNT: Final = 2**31 - 1
"""What an integer column holds."""


def _is_run_path(path: str) -> str:
    relative_parts(path)
    return path


def _is_file_name(name: str) -> str:
    if len(relative_parts(name)) != 1:
        raise ValueError("must be a name without folders")
    return name


Count = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
Name = Annotated[str, StringConstraints(max_length=LONGEST_NAME), AfterValidator(shown)]
Message = Annotated[str, AfterValidator(partial(shown, limit=LONGEST_MESSAGE))]
Data = Annotated[dict[str, JsonValue], AfterValidator(shown_json)]
"""Text of the trainer, which may repeat text of its dataset: what people cannot see is escaped, and
a message that is too long loses its end."""
RunPath = Annotated[str, AfterValidator(_is_run_path)]
"""A path of a file below run_directory, in printable characters. It is opened without following
links: `app.core.guarded_files`."""
FileName = Annotated[str, StringConstraints(max_length=LONGEST_NAME), AfterValidator(_is_file_name)]
Metrics = Annotated[dict[Name, float | None], Field(max_length=MOST_METRICS)]
