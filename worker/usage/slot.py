"""The use of a slot: sampled once a second while it trains, and looked up at any time."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from worker.usage.epochs import EpochUse, UseSample
from worker.usage.gpus import GpuUse

SAMPLE_SECONDS: Final = 1.0
MOST_OF_A_CORE: Final = 0.02
"""With very many processes the samples are further apart, so that they take no more of a core."""


class SlotUse:
    """What the trainer of a slot and the GPUs of the slot do. Thread-safe.

    Args:
        gpus: of the slot.
    """

    def __init__(self, gpus: GpuUse) -> None:
        self._gpus = gpus
        self._turn = threading.Lock()
        self._latest: UseSample | None = None

    def latest(self) -> UseSample:
        """Return the newest sample, about a second old; without a trainer, look at the GPUs."""
        with self._turn:
            latest = self._latest
        return latest or UseSample(cpu=0.0, memory_bytes=None, gpu=self._gpus.sample())

    def of_training(self) -> EpochUse:
        """Return what sums the use of one training up by epoch; see `sampling`."""
        return EpochUse(self._gpus)

    @contextmanager
    def sampling(self, training: EpochUse, pid: int) -> Iterator[None]:
        """Sample a trainer process, its session and the GPUs once a second during the block."""
        training.watch(pid)
        ended = threading.Event()
        thread = threading.Thread(
            target=self._sample_until, args=(training, ended), name="slot use", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            with self._turn:
                self._latest = None

    def _sample_until(self, training: EpochUse, ended: threading.Event) -> None:
        pause = SAMPLE_SECONDS
        while not ended.wait(pause):
            began = time.thread_time()
            sample = training.sample()
            pause = max(SAMPLE_SECONDS, (time.thread_time() - began) / MOST_OF_A_CORE)
            with self._turn:
                self._latest = sample
