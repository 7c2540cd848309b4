"""What the protocol answers by itself, before or instead of the application."""

from app.core.errors import BadRequest, TooManyRequests, Unavailable


class MalformedRequest(BadRequest):
    """The bytes on the connection are not a valid HTTP/1.1 request."""

    slug, title = "malformed-request", "Malformed request"


class TooManyConnections(TooManyRequests):
    """The address has as many connections, or requests at the same time, as one may have."""

    slug, title = "too-many-connections", "Too many connections"


class ServerFull(Unavailable):
    """The server has as many connections as it can hold."""

    slug, title = "server-full", "The server is full"
