"""Where a data loader stands between two epochs: its order, its workers, what they have loaded.

Ultralytics' loaders (8.4.190, data/build.py) never end: an epoch takes as many batches as a pass
over the data has, while workers have drawn the order of later passes already and made their first
batches. Those are made again after a resume, from the state of before.
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
"""Key of a batch under which a worker's state travels; taken out before anyone sees it."""

_NOTES: Final = 8  # prefetching four batches for each worker, no pass begins further ahead


class NotedPasses:
    """In place of `_RepeatSampler` (build.py:110): the same batches, with notes of the generator.

    Args:
        sampler: of the batches of one pass.
        generator: that orders them.
    """

    def __init__(self, sampler: Any, generator: torch.Generator) -> None:  # noqa: ANN401 -- torch's
        self.sampler = sampler  # by this name the loader asks for its length
        self._generator = generator
        self._notes: dict[int, torch.Tensor] = {}
        self._start: Mapping[str, Any] | None = None
        self.on_begin: Callable[[], None] = lambda: None

    def __iter__(self) -> Iterator[list[int]]:
        # Runs with the first `next`: the iterator has drawn its seed from the generator by then.
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
        """Return where pass number `passes` of the running iterator starts.

        Without prefetching it has not begun yet. Whether torch has drawn what it draws at the end
        of a pass depends on the length of the last batch: then the pass before is gone through
        `again`, without a batch of it being made.
        """
        if passes in self._notes:
            return {"note": self._notes[passes], "again": False}
        return {"note": self._notes[passes - 1], "again": True}

    def start_at(self, position: Mapping[str, Any]) -> None:
        """Let the next iterator begin where another one stood."""
        self._start = position

    def _note(self, number: int) -> None:
        self._notes[number] = self._generator.get_state()
        self._notes.pop(number - _NOTES, None)


@dataclass
class TellingCollate:
    """Makes batches, and tells with a worker's last one of each epoch what state it is in then.

    Args:
        collate: the loader's own.
        dataset: of the loader.
        batches: in an epoch.
    """

    collate: Callable[[list[Any]], Any]
    dataset: Any
    batches: int
    made: int = 0

    def __call__(self, samples: list[Any]) -> Any:  # noqa: ANN401 -- whatever the dataset makes
        batch = self.collate(samples)
        worker = get_worker_info()
        if worker is None or not isinstance(batch, dict):
            return batch
        number = worker.id + self.made * worker.num_workers  # batches go round (torch, in_order)
        self.made += 1
        if number % self.batches >= self.batches - worker.num_workers:
            # Few and small: a worker whose trainer is gone would wait for a full pipe's reader.
            batch[TAG] = _packed(_worker_state(self.dataset))
        return batch


@dataclass
class WorkerStart:
    """Starts a worker: seeded by Ultralytics, or where another one stood; it dies with its trainer.

    Args:
        seed: the loader's own.
        dataset: of the loader.
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


class NotedOrder:
    """A loader of Ultralytics whose order of images can be told and taken up.

    To be made before the loader's first batch.

    Args:
        loader: makes the same batches as before.
    """

    def __init__(self, loader: Any) -> None:  # noqa: ANN401 -- see is_known
        self._loader = loader
        self._passes = NotedPasses(loader.batch_sampler.sampler, loader.generator)
        self._start = WorkerStart(loader.worker_init_fn, loader.dataset)
        # As Ultralytics itself sets it: torch forbids the usual way.
        object.__setattr__(loader, "batch_sampler", self._passes)
        loader.worker_init_fn = self._start

    @staticmethod
    def is_known(loader: Any) -> bool:  # noqa: ANN401 -- anything
        """Tell whether Ultralytics has made it (build.py:405), and no plugin.

        A plugin may choose images in a way of its own, by generators that nobody knows.
        """
        if type(loader) is not InfiniteDataLoader:
            return False
        sampler, batches = loader.sampler, getattr(loader.batch_sampler, "sampler", None)
        in_order = type(sampler) is SequentialSampler
        shuffled = type(sampler) is RandomSampler and sampler.generator is loader.generator
        is_usual = type(batches) is BatchSampler and (in_order or shuffled)
        return is_usual and loader.generator is not None

    def order(self) -> Plain:
        """Return where the order of images stands at the end of an epoch."""
        passes = self._yielded // len(self._loader)
        return {"generator": self._loader.generator.get_state(), **self._passes.position(passes)}

    def start_order_at(self, order: Mapping[str, Any], *, anew: bool = False) -> None:
        """Go on with the order of another loader.

        Args:
            order: as `order` told it.
            anew: Ultralytics is about to start the loader anew, as it would have done without a
                resume: with what its generator draws next, and not with the batches that are left.
        """
        if anew:
            self._loader.generator.set_state(order["generator"])
        else:
            self._passes.start_at(order)

    @property
    def _yielded(self) -> int:
        """Batches that the running iterator has given out; torch counts them anyway."""
        return int(self._loader.iterator._num_yielded)  # noqa: SLF001 -- see above


class NotedLoader(NotedOrder):
    """One whose makers of batches, its workers or the trainer itself, can be told, too."""

    def __init__(self, loader: Any) -> None:  # noqa: ANN401 -- as above
        super().__init__(loader)
        self._told: dict[int, bytes] = {}
        self._own: Plain | None = None
        self._passes.on_begin = self._begin
        loader.collate_fn = TellingCollate(loader.collate_fn, loader.dataset, len(loader))

    @property
    def workers(self) -> int:
        """How many processes make batches; 0: the trainer itself does."""
        return int(self._loader.num_workers)

    @property
    def batches(self) -> int:
        """In an epoch."""
        return len(self._loader)

    @property
    def is_told(self) -> bool:
        """Whether each worker has told its state; a plugin's batches may have no place for it."""
        return len(self._told) == self.workers

    def take(self, batch: dict[str, Any]) -> None:
        """Take out of a batch what a worker told with it."""
        if TAG in batch:
            self._told[(self._yielded - 1) % self.workers] = batch.pop(TAG)

    def makers(self) -> list[Plain]:
        """Return the state of those who make batches, in the order in which they are asked next."""
        if not self.workers:
            return [_dataset_state(self._loader.dataset)]
        turns = ((self._yielded + turn) % self.workers for turn in range(self.workers))
        return [_unpacked(self._told[worker]) for worker in turns]

    def start_makers_at(self, makers: list[Plain], *, anew: bool) -> None:
        """Go on with the state of another loader's makers; `anew` as for the order."""
        if not self.workers:
            # Not yet: closing the mosaic, which comes before the first batch, makes new transforms.
            self._own = makers[0] | ({"augmentation": None} if anew else {})
        elif not anew:
            self._start.states = dict(enumerate(makers))

    def _begin(self) -> None:
        """Take up what was told to go on with; the workers, if any, have started by now."""
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
        dataset.load_image(image)  # which puts it into the buffer (data/base.py:318)
    if state["augmentation"] is not None:
        set_augmentation_state(dataset, state["augmentation"])


def _packed(state: Plain) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _unpacked(packed: bytes) -> Plain:
    state: Plain = torch.load(io.BytesIO(packed), weights_only=True)
    return state
