"""HTML forms as browsers send them: urlencoded, in UTF-8."""

from typing import Final
from urllib.parse import parse_qsl

from app.core.errors import BadRequest

MEDIA_TYPE: Final = "application/x-www-form-urlencoded"


class InvalidForm(BadRequest):
    """The body is not a form in UTF-8."""

    slug, title = "invalid-form", "The body is not a valid form"


def form_fields(body: bytes, *, at_most: int) -> list[tuple[str, str]]:
    """Return the names and values of a form, in their order.

    Raises:
        InvalidForm: it is not a form in UTF-8, or has more fields than `at_most`.
    """
    try:
        return parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=at_most,
        )
    except ValueError:  # also UnicodeDecodeError
        raise InvalidForm(f"The body is not a form in UTF-8 of {at_most} fields.") from None
