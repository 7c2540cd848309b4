"""Names of query parameters: a route refuses those that it does not have.

Otherwise a misspelled filter would select everything.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Final

from fastapi.dependencies.models import Dependant
from pydantic import BaseModel
from starlette.requests import Request

from app.core.errors import FieldError
from app.core.problems import invalid_request, json_pointer

MOST_NAMED: Final = 20
"""Unknown names in an answer: each suggestion costs time."""
MAX_SHOWN_NAME: Final = 100


def parameters_of(dependant: Dependant) -> list[str]:
    """Return the query parameters of a route and of its dependencies, by name."""
    names = {name for each in dependant.dependencies for name in parameters_of(each)}
    for field in dependant.query_params:
        model = field.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            names |= {each.alias or name for name, each in model.model_fields.items()}
        else:
            names.add(field.alias)
    return sorted(names)


def check_parameters(request: Request, known: Sequence[str]) -> None:
    """Refuse a request with a query parameter that is not among the known ones.

    Raises:
        Invalid: it has one; the error names each, and the parameters that there are.
    """
    if not request.scope["query_string"]:
        return
    unknown = (name for name in request.query_params if name not in known)
    refused = [
        FieldError(
            json_pointer(("query", name[:MAX_SHOWN_NAME])),
            "unknown-parameter",
            _message(name[:MAX_SHOWN_NAME], known),
        )
        for name in islice(unknown, MOST_NAMED)
    ]
    if refused:
        raise invalid_request(refused)


def _message(name: str, known: Sequence[str]) -> str:
    if not known:
        return "This route has no query parameters."
    guess = "".join(f' Did you mean "{close}"?' for close in get_close_matches(name, known, n=1))
    return f"This route has no such query parameter.{guess} It has: {', '.join(known)}."
