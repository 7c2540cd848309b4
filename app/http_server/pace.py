"""How slow a client may be: a bucket of seconds that bytes fill and waiting empties."""


class Pace:
    """The seconds for which we still wait for a client.

    Every `bytes_per_second` bytes give one more second, up to `seconds`. A client that keeps this
    rate is never cut; a client that sends nothing is cut after `seconds`.
    """

    def __init__(self, seconds: float, bytes_per_second: float) -> None:
        self._most = seconds
        self._rate = bytes_per_second
        self.seconds = seconds

    def waited(self, seconds: float) -> None:
        """Take what we have waited for the client. Waiting for ourselves does not count."""
        self.seconds -= seconds

    def moved(self, count: int) -> None:
        """Give the client time for `count` bytes."""
        self.seconds = min(self._most, self.seconds + count / self._rate)
