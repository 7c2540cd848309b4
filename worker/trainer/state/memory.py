"""Copies plain data into memory that is allocated once, for snapshots of a running training."""

import copy
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import numpy as np
import torch

from worker.trainer.state.generators import CPU

Layout: TypeAlias = tuple[torch.dtype, torch.Size, tuple[int, ...]]
"""The type of a tensor's numbers, its shape, and the strides of its dimensions."""

_ALIGNMENT: Final = 64
"""Bytes: pieces of a block begin at multiples of it, as torch's own allocations do."""


class SnapshotMemory:
    """Memory for one copy of a training's state; the next copy overwrites it.

    The first copy allocates one block, and a later one a larger block if the state has grown. Using
    a block again is several times as fast as allocating it. For a training on a GPU the block is
    pinned: the GPU then copies into it at full speed.

    Args:
        device: The device of the training.
    """

    def __init__(self, device: torch.device = CPU) -> None:
        self._device = device
        self._block = np.empty(0, dtype=np.uint8)
        self._pieces: list[torch.Tensor] = []
        self._layouts: list[Layout] = []

    @property
    def size(self) -> int:
        """The size of the block in bytes."""
        return self._block.nbytes

    def copy_of(self, state: Any) -> Any:  # noqa: ANN401 -- plain data
        """Return a copy that shares no memory with `state`; it is valid until the next copy.

        Its tensors are on the CPU, and have the values and strides of the originals.

        Raises:
            MemoryError: There is no memory for the block. The block of the last copy is gone.
        """
        tensors = list(_tensors_in(state))
        layouts = [_layout_of(tensor) for tensor in tensors]
        if layouts != self._layouts:
            self._divide(tensors)
            self._layouts = layouts
        with torch.no_grad():
            for piece, tensor in zip(self._pieces, tensors, strict=True):
                piece.copy_(tensor, non_blocking=True)
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()
        return _replaced(state, iter(self._pieces))

    def _divide(self, tensors: list[torch.Tensor]) -> None:
        """Divide the block into a piece for each tensor; allocate a new block if it is too small.

        Each piece is a storage of its own, so that `torch.save` writes it like the original.
        """
        self._pieces, self._layouts = [], []
        ends = [0]
        for tensor in tensors:
            size = tensor.numel() * tensor.element_size()
            ends.append(ends[-1] + -(-size // _ALIGNMENT) * _ALIGNMENT)
        if ends[-1] > self._block.nbytes:
            self._block = np.empty(0, dtype=np.uint8)  # free it before the next one is allocated
            self._block = self._allocated(ends[-1])
        self._pieces = [
            _piece_like(tensor, self._block[begin:])
            for tensor, begin in zip(tensors, ends, strict=False)
        ]

    def _allocated(self, size: int) -> Any:  # noqa: ANN401 -- a numpy array of bytes
        if self._device.type != "cuda":
            return np.empty(size, dtype=np.uint8)
        try:
            return torch.empty(size, dtype=torch.uint8, pin_memory=True).numpy()
        except RuntimeError as error:
            raise MemoryError("There is no pinned memory for a copy of the state.") from error


def _layout_of(tensor: torch.Tensor) -> Layout:
    return tensor.dtype, tensor.shape, tensor.stride()


def _piece_like(tensor: torch.Tensor, rest: Any) -> torch.Tensor:  # noqa: ANN401 -- numpy bytes
    """Return a tensor of the same layout at the beginning of `rest`."""
    if tensor.numel() == 0:  # in the block it would have the address of the next piece
        return torch.empty_like(tensor, device="cpu")
    # Strides of a tensor with gaps or overlaps become contiguous, as in a clone.
    strides = torch.empty_like(tensor, device="meta").stride()
    flat = torch.from_numpy(rest[: tensor.numel() * tensor.element_size()]).view(tensor.dtype)
    return flat.as_strided(tensor.shape, strides)


def _tensors_in(value: Any) -> Iterator[torch.Tensor]:  # noqa: ANN401 -- plain data
    if isinstance(value, torch.Tensor):
        if value.layout is torch.strided:
            yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors_in(part)


def _replaced(value: Any, pieces: Iterator[torch.Tensor]) -> Any:  # noqa: ANN401 -- plain data
    """Return the value with new containers and, in the order of `_tensors_in`, other tensors."""
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided:
            return value.detach().cpu().clone()
        piece = next(pieces)
        return piece.detach().requires_grad_() if value.requires_grad else piece
    if isinstance(value, dict):
        new = copy.copy(value)
        new.update({key: _replaced(part, pieces) for key, part in value.items()})
        return new
    if isinstance(value, list | tuple):
        return type(value)(_replaced(part, pieces) for part in value)
    return value
