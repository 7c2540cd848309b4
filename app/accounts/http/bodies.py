"""Bodies of open routes: a JSON document, or an HTML form."""

from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from app.core.errors import UnsupportedMediaType
from app.core.media_types import is_plain_json
from app.core.problems import invalid_fields
from app.core.strict_json import DuplicateKey, parse_json
from app.core.strict_request import StrictRequest
from app.core.url_forms import MEDIA_TYPE as FORM
from app.core.url_forms import form_fields

MAX_FIELDS: Final = 20

Model = TypeVar("Model", bound=BaseModel)


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
    pairs = form_fields(body, at_most=MAX_FIELDS)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise DuplicateKey("The form contains a field twice.")
    return fields
