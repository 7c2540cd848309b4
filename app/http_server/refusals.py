"""The answers of the protocol itself: problem+json with our usual headers."""

import structlog
from starlette.datastructures import MutableHeaders

from app.core.errors import TrainyardError
from app.core.ids import new_id
from app.core.problems import problem_response
from app.core.response_headers import complete
from app.http_server.exchange import encoded_head
from app.http_server.writing import RawHeaders


def refusal(error: TrainyardError, default_headers: RawHeaders, *, is_tls: bool) -> bytes:
    """Return the bytes of an answer after which the connection is closed."""
    request_id = new_id("req")
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        response = problem_response(error)
    shown = MutableHeaders(raw=response.raw_headers)
    shown["X-Request-Id"], shown["Connection"] = request_id, "close"
    complete(shown, response.status_code, is_tls=is_tls)
    headers = [*default_headers, *shown.raw]
    return encoded_head(response.status_code, headers) + bytes(response.body)
