"""Forms that browsers send: urlencoded, in UTF-8, of limited size."""

from typing import Final

from fastapi import Request

from app.core.errors import UnsupportedMediaType
from app.core.url_forms import MEDIA_TYPE, form_fields

MAX_FIELDS: Final = 1000


class Form:
    """The fields of a form, in the order in which the browser sent them."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    def one(self, name: str) -> str:
        """Return the last value of a field without spaces around it; empty if there is none."""
        return next((value.strip() for key, value in reversed(self._pairs) if key == name), "")

    def typed(self, name: str) -> str:
        """Return the last value of a field as it was typed, such as a password."""
        return self.values().get(name, "")

    def all(self, name: str) -> list[str]:
        """Return every value of a field."""
        return [value for key, value in self._pairs if key == name]

    def has(self, name: str) -> bool:
        """Return whether the field was sent, as ticked boxes are."""
        return any(key == name for key, _ in self._pairs)

    def values(self) -> dict[str, str]:
        """Return the last value of each field, to show the form again."""
        return dict(self._pairs)


async def form_of(request: Request) -> Form:
    """Return the form in the body of a request.

    Raises:
        UnsupportedMediaType: the body is something else.
        InvalidForm: it cannot be parsed.
        TooLarge: it is above the limit of the route.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if not body:
        return Form([])
    if content_type != MEDIA_TYPE:
        raise UnsupportedMediaType(f"Send the form as {MEDIA_TYPE}.")
    return Form(form_fields(body, at_most=MAX_FIELDS))
