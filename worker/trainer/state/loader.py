"""The position of a data loader between two epochs: image order, worker states, loaded images.

Ultralytics' loaders (8.4.190, data/build.py) never end: an epoch takes as many batches as a pass
over the data has, while the order of later passes is already drawn and workers have made their
first batches. After a resume these batches are made again, from the state before them.
"""

import io
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import torch
from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler, get_worker_info
from ultralytics.data.build import InfiniteDataLoader

from worker.trainer.interrupts import die_with_parent
from worker.trainer.state.augmentation import augmentation_state, set_augmentation_state
from worker.trainer.state.generators import Plain, random_state, set_random_state

TAG: Final = "trainyard_worker"
"""The key of a worker's state in a batch; removed before the trainer uses the batch."""

_NOTES: Final = 8  # with four prefetched batches per worker no pass begins further ahead


class RecordedPasses:
    """Replaces `_RepeatSampler` (build.py:110): yields the same batches, and records the generator.

    Args:
        sampler: The sampler of the batches of one pass.
        generator: The generator that orders them.
    """

    def __init__(self, sampler: Any, generator: torch.Generator) -> None:  # noqa: ANN401 -- torch's
        self.sampler = sampler  # the loader reads this name for its length
        self._generator = generator
        self._notes: dict[int, torch.Tensor] = {}
        self._start: Mapping[str, Any] | None = None
        self.on_begin: Callable[[], None] = lambda: None

    def __iter__(self) -> Iterator[list[int]]:
        # Runs at the first `next`, after the iterator has drawn its seed from the generator.
        start, self._start = self._start, None
        self._notes.clear()
        self.on_begin()
        number = 0
        if start is not None:
            self._generator.set_state(start["note"])
            number = -1 if start["again"] else 0
        while True:
            self._note(number)
            batches = iter(self.sampler)
            if number < 0:
                deque(islice(batches, len(self.sampler)), maxlen=0)
            yield from batches
            number += 1

    def position(self, passes: int) -> Plain:
        """Return the generator state at the start of pass number `passes` of the current iterator.

        Without prefetching that pass has not begun yet, and it depends on the length of the last
        batch whether torch has already made the draws at the end of the previous pass. Then return
        the start of the previous pass with `again`: it is repeated without making its batches.
        """
        if passes in self._notes:
            return {"note": self._notes[passes], "again": False}
        return {"note": self._notes[passes - 1], "again": True}

    def start_at(self, position: Mapping[str, Any]) -> None:
        """Start the next iterator at a position of `position`."""
        self._start = position

    def _note(self, number: int) -> None:
        self._notes[number] = self._generator.get_state()
        self._notes.pop(number - _NOTES, None)


@dataclass
class StateCollate:
    """Makes batches, and adds the worker's state to its last batch of each epoch.

    Args:
        collate: The loader's own collate function.
        dataset: The loader's dataset.
        batches: The number of batches of an epoch.
    """

    collate: Callable[[list[Any]], Any]
    dataset: Any
    batches: int
    made: int = 0

    def __call__(self, samples: list[Any]) -> Any:  # noqa: ANN401 -- any batch of the dataset
        batch = self.collate(samples)
        worker = get_worker_info()
        if worker is None or not isinstance(batch, dict):
            return batch
        # Workers make batches in turn (torch, in_order).
        number = worker.id + self.made * worker.num_workers
        self.made += 1
        if number % self.batches >= self.batches - worker.num_workers:
            # Few and small: a worker whose trainer is gone would block on a full pipe.
            batch[TAG] = _packed(_worker_state(self.dataset))
        return batch


@dataclass
class WorkerStart:
    """Starts a worker that dies with its trainer: seeded by Ultralytics, or with a saved state.

    Args:
        seed: The loader's own function that seeds a worker.
        dataset: The loader's dataset.
        states: Saved states by number of the worker; a worker without one is only seeded.
    """

    seed: Callable[[int], None]
    dataset: Any
    states: dict[int, Plain] = field(default_factory=dict)

    def __call__(self, worker: int) -> None:
        die_with_parent()
        self.seed(worker)
        if worker in self.states:
            set_random_state(self.states[worker]["random"])
            _set_dataset_state(self.dataset, self.states[worker])


class RecordedOrder:
    """Records and restores the image order of an Ultralytics loader.

    Create it before the loader's first batch.

    Args:
        loader: The loader; it makes the same batches as without this class.
    """

    def __init__(self, loader: Any) -> None:  # noqa: ANN401 -- see is_known
        self._loader = loader
        self._passes = RecordedPasses(loader.batch_sampler.sampler, loader.generator)
        self._start = WorkerStart(loader.worker_init_fn, loader.dataset)
        # Set as Ultralytics sets it: torch forbids plain assignment.
        object.__setattr__(loader, "batch_sampler", self._passes)
        loader.worker_init_fn = self._start

    @staticmethod
    def is_known(loader: Any) -> bool:  # noqa: ANN401 -- anything
        """Return whether the loader is Ultralytics' own (build.py:405) and not a plugin's.

        A plugin may choose images in its own way, with generators that are unknown here.
        """
        if type(loader) is not InfiniteDataLoader:
            return False
        sampler, batches = loader.sampler, getattr(loader.batch_sampler, "sampler", None)
        in_order = type(sampler) is SequentialSampler
        shuffled = type(sampler) is RandomSampler and sampler.generator is loader.generator
        is_usual = type(batches) is BatchSampler and (in_order or shuffled)
        return is_usual and loader.generator is not None

    def order(self) -> Plain:
        """Return the position in the order of images at the end of an epoch."""
        passes = self._yielded // len(self._loader)
        return {"generator": self._loader.generator.get_state(), **self._passes.position(passes)}

    def start_order_at(self, order: Mapping[str, Any], *, restarting: bool = False) -> None:
        """Continue the order of another loader.

        Args:
            order: The other loader's `order`.
            restarting: Whether Ultralytics is about to restart the loader, as it would have done
                without the interruption. Then the order continues with the next draw of its
                generator and not with the remaining batches.
        """
        if restarting:
            self._loader.generator.set_state(order["generator"])
        else:
            self._passes.start_at(order)

    def last_pass(self) -> list[int]:
        """Return the numbers of the images in the order of the last whole pass."""
        sampler = self._loader.sampler
        images = len(self._loader.dataset)
        if isinstance(sampler, SequentialSampler):
            return list(range(images))
        position = self._passes.position(self._yielded // len(self._loader) - 1)
        generator = torch.Generator()
        generator.set_state(position["note"])
        return list(RandomSampler(range(images), generator=generator))

    @property
    def _yielded(self) -> int:
        """The number of batches that the current iterator has yielded, as torch counts them."""
        return int(self._loader.iterator._num_yielded)  # noqa: SLF001 -- see above


class RecordedLoader(RecordedOrder):
    """Also records and restores the random state of the processes that build the batches.

    These are the loader's workers, or the trainer process when there are none.
    """

    def __init__(self, loader: Any) -> None:  # noqa: ANN401 -- as above
        super().__init__(loader)
        self._worker_states: dict[int, bytes] = {}
        self._own: Plain | None = None
        self._passes.on_begin = self._begin
        loader.collate_fn = StateCollate(loader.collate_fn, loader.dataset, len(loader))

    @property
    def workers(self) -> int:
        """The number of worker processes; 0 means that the trainer makes the batches."""
        return int(self._loader.num_workers)

    @property
    def batches(self) -> int:
        """The number of batches of an epoch."""
        return len(self._loader)

    @property
    def has_all_states(self) -> bool:
        """Whether each worker has sent its state; batches of a plugin may have no place for it."""
        return len(self._worker_states) == self.workers

    def take(self, batch: dict[str, Any]) -> None:
        """Remove the worker's state from a batch and store it."""
        if TAG in batch:
            self._worker_states[(self._yielded - 1) % self.workers] = batch.pop(TAG)

    def worker_states(self) -> list[Plain]:
        """Return the states of the workers, in the order in which they make the next batches.

        Without workers, return the state of the trainer's own dataset.
        """
        if not self.workers:
            return [_dataset_state(self._loader.dataset)]
        turns = ((self._yielded + turn) % self.workers for turn in range(self.workers))
        return [_unpacked(self._worker_states[worker]) for worker in turns]

    def start_workers_at(self, states: list[Plain], *, restarting: bool) -> None:
        """Continue from another loader's `worker_states`; `restarting` as in `start_order_at`."""
        if not self.workers:
            # Applied later: closing the mosaic, before the first batch, makes new transforms.
            self._own = states[0] | ({"augmentation": None} if restarting else {})
        elif not restarting:
            self._start.states = dict(enumerate(states))

    def _begin(self) -> None:
        """Restore the trainer's own dataset; workers, if any, have already started."""
        self._start.states = {}
        own, self._own = self._own, None
        if own is not None:
            _set_dataset_state(self._loader.dataset, own)


def _worker_state(dataset: Any) -> Plain:  # noqa: ANN401 -- any dataset of Ultralytics
    return {"random": random_state(), **_dataset_state(dataset)}


def _dataset_state(dataset: Any) -> Plain:  # noqa: ANN401 -- as above
    buffer = list(getattr(dataset, "buffer", ()))
    return {"buffer": torch.tensor(buffer), "augmentation": augmentation_state(dataset)}


def _set_dataset_state(dataset: Any, state: Mapping[str, Any]) -> None:  # noqa: ANN401 -- as above
    for image in state["buffer"].long().tolist():
        dataset.load_image(image)  # also adds it to the buffer (data/base.py:318)
    if state["augmentation"] is not None:
        set_augmentation_state(dataset, state["augmentation"])


def _packed(state: Plain) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _unpacked(packed: bytes) -> Plain:
    state: Plain = torch.load(io.BytesIO(packed), weights_only=True)
    return state
