"""What a caller gets instead of an event stream."""

from app.core.errors import TooManyRequests, Unavailable


class TooManyStreams(TooManyRequests):
    """The key or the session has as many event streams at this server as one may have."""

    slug, title = "too-many-streams", "Too many event streams"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"This key or session has {most} event streams at this server. Close one, or share it.",
            retry_after=5,
        )


class StreamsFull(Unavailable):
    """The server has as many event streams as it may have, or is about to stop."""

    slug, title = "streams-full", "No event stream is free"
