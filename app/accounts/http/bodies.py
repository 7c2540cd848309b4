"""Bodies of open routes: a JSON document, or an HTML form."""

from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import BaseModel, ValidationError

from app.core.errors import BadRequest, UnsupportedMediaType
from app.core.media_types import is_plain_json
from app.core.problems import invalid_fields
from app.core.strict_json import DuplicateKey, parse_json
from app.core.strict_request import StrictRequest

FORM: Final = "application/x-www-form-urlencoded"
MAX_FIELDS: Final = 20

Model = TypeVar("Model", bound=BaseModel)


class InvalidForm(BadRequest):
    """The body is not a form in UTF-8."""

    slug, title = "invalid-form", "The body is not a valid form"


async def body_of(request: Request, model: type[Model]) -> Model:
    """Return the body of a request as a model.

    Raises:
        UnsupportedMediaType: it is neither JSON nor a form.
        BadRequest: it cannot be parsed.
        TooLarge: it has more than 4 KiB.
        Invalid: fields are missing, unknown or wrong.
    """
    content_types = request.headers.getlist("content-type")
    is_form = [each.partition(";")[0].strip().lower() for each in content_types] == [FORM]
    if not is_form and not is_plain_json(content_types):
        raise UnsupportedMediaType(f"Send the body as application/json or {FORM}, in UTF-8.")
    assert isinstance(request, StrictRequest)  # noqa: S101 -- OpenRoute makes it, with its limit
    await request.complete_body()
    body = await request.body()
    document = _parse_form(body) if is_form else parse_json(body)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise invalid_fields(error.errors(include_url=False)) from None


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the part of the OpenAPI document that describes such a body."""
    schema = {"schema": model.model_json_schema()}
    content = {"application/json": schema, FORM: schema}
    return {"requestBody": {"required": True, "content": content}}


def _parse_form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:  # also UnicodeDecodeError
        raise InvalidForm(f"The body is not a form in UTF-8 of {MAX_FIELDS} fields.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise DuplicateKey("The form contains a field twice.")
    return fields
