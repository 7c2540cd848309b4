"""A thread that does its work between `with` and its end, which waits for it."""

import threading
from abc import ABC, abstractmethod
from typing import Self


class Background(ABC):
    """Base of what runs beside requests and jobs: `_run` returns soon once `_stopping` is set."""

    def __init__(self, name: str) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._thread.join()

    def _stop(self) -> None:
        """Called once, as the block ends."""
        self._stopping.set()

    @abstractmethod
    def _run(self) -> None:
        """The thread's life."""
