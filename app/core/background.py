"""A background thread as a context manager, which joins the thread when the block ends."""

import threading
from abc import ABC, abstractmethod
from typing import Self


class Background(ABC):
    """Base class of threads that run for the duration of a `with` block.

    Subclasses implement `_run`, which must return soon after `_stopping` is set.
    """

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
        """Ask the thread to stop. Called once, when the block ends."""
        self._stopping.set()

    @abstractmethod
    def _run(self) -> None:
        """Do the work of the thread until `_stopping` is set."""
