"""How many event streams a server has open, and how many of them one caller has."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.settings.streams import StreamSettings
from app.stream.errors import StreamsFull, TooManyStreams
from app.stream.watcher import Credential


class Places:
    """Counts streams. Use it in the event loop only.

    Args:
        limits: how many there may be.
        is_stopping: whether the server is about to stop; it then opens no stream.
    """

    def __init__(self, limits: StreamSettings, is_stopping: Callable[[], bool]) -> None:
        self._limits = limits
        self._is_stopping = is_stopping
        self._of: Counter[Credential] = Counter()
        self.taken_places = 0

    @contextmanager
    def taken(self, credential: Credential) -> Iterator[None]:
        """Count a stream while the block runs.

        Raises:
            TooManyStreams: the credential has as many as one may have.
            StreamsFull: the server has, or is about to stop.
        """
        if self._is_stopping():
            raise StreamsFull("The server is about to stop. Connect again.", retry_after=1)
        if self._of[credential] >= self._limits.per_credential:
            raise TooManyStreams(self._limits.per_credential)
        if self.taken_places >= self._limits.maximum:
            raise StreamsFull(
                f"This server has {self._limits.maximum} event streams, which is its limit.",
                retry_after=5,
            )
        self._of[credential] += 1
        self.taken_places += 1
        try:
            yield
        finally:
            self.taken_places -= 1
            self._of[credential] -= 1
            if not self._of[credential]:
                del self._of[credential]
