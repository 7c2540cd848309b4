"""Names of users and projects, and labels of keys.

They appear in URLs, logs, terminals and tables, so they have no character that could be mistaken
for another one, hides something or has a meaning there.
"""

from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from app.core.text_fields import plain_text

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9._@+-]{0,99}$"
"""Lower case only: no user can take the name `Owner` beside `owner`."""

Name = Annotated[
    str,
    Field(
        pattern=NAME_PATTERN,
        description="Unique. Letters from a to z, digits and . _ @ + - are allowed.",
    ),
]
Label = Annotated[
    str,
    Field(min_length=1, max_length=200, description="Its purpose, for people."),
    BeforeValidator(plain_text),
]
