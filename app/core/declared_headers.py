"""The headers of answers, as the OpenAPI document declares them: each is described once."""

from collections.abc import Mapping
from typing import Any, Final

ON_EVERY_ANSWER: Final[Mapping[str, str]] = {
    "X-Request-Id": "Id of the request, as in the logs.",
    "Cache-Control": "Whether a copy may be kept, and for how long.",
    "Content-Security-Policy": "What a browser may do with the answer.",
    "Cross-Origin-Resource-Policy": "Which pages may embed the answer: those of this server.",
    "Referrer-Policy": "That a browser tells other servers nothing of this one.",
    "Strict-Transport-Security": "That a browser uses TLS from now on. Only with TLS.",
    "X-Content-Type-Options": "That a browser does not guess another media type.",
}
"""What the server adds to every answer; operations do not declare it again."""

_ON_SOME_ANSWERS: Final[Mapping[str, str]] = {
    "Allow": "The methods of the path.",
    "Accept-Ranges": "That one range of bytes can be asked for.",
    "Content-Disposition": "Whether a browser shows or saves the file, and under which name.",
    "Content-Range": "Which bytes these are, and how many there are.",
    "ETag": "Tag of this state, for `If-None-Match`, and for `If-Match` where a route takes it.",
    "Idempotency-Replayed": "`true`: an earlier request with this key created it.",
    "Location": "Path of what was created.",
    "Retry-After": "Seconds after which another try makes sense.",
    "Set-Cookie": "The session cookie.",
    "Tus-Checksum-Algorithm": "Digests that `Upload-Checksum` can have, separated by commas.",
    "Tus-Extension": "The extensions of tus that the server supports, separated by commas.",
    "Tus-Max-Size": "Largest size of an upload in bytes.",
    "Tus-Resumable": "Version of tus of the answer.",
    "Tus-Version": "Versions of tus that the server supports.",
    "Upload-Expires": "When the upload is removed, unless more bytes arrive.",
    "Upload-Length": "Announced size of the upload in bytes.",
    "Upload-Metadata": "What the client told at the creation.",
    "Upload-Offset": "Number of bytes that arrived.",
    "WWW-Authenticate": "How to send a credential.",
    "X-Accel-Buffering": "`no`: a proxy must pass on each message at once.",
    "X-First-Line": "With `tail` or `lines`: number of the first line of the body.",
    "X-Lines": "With `tail` or `lines`: number of lines of the whole log.",
}
_NUMBERS: Final = frozenset(
    {
        *("Retry-After", "Tus-Max-Size", "Upload-Length", "Upload-Offset"),
        *("X-First-Line", "X-Lines"),
    }
)


def declared(*names: str) -> dict[str, Any]:
    """Return the part of an answer's description that declares its headers."""
    return {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}}


def header_components() -> dict[str, Any]:
    """Return the descriptions of all headers, for the components of the document."""
    return {
        name: {
            "description": description,
            "schema": {"type": "integer" if name in _NUMBERS else "string"},
        }
        for name, description in {**ON_EVERY_ANSWER, **_ON_SOME_ANSWERS}.items()
    }
