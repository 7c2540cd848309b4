"""Background threads as a context manager, which joins them when the block ends."""

import threading
from abc import ABC, abstractmethod
from typing import Self


class Background(ABC):
    """Base class of threads that run for the duration of a `with` block.

    Subclasses implement `_run`, which must return soon after `_stopping` is set. It runs in one
    thread, or in `threads` of them at once.
    """

    def __init__(self, name: str, *, threads: int = 1) -> None:
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=name, daemon=True) for _ in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        for thread in self._threads:
            thread.join()

    def _stop(self) -> None:
        """Ask the threads to stop. Called once, when the block ends."""
        self._stopping.set()

    @abstractmethod
    def _run(self) -> None:
        """Do the work of a thread until `_stopping` is set."""
