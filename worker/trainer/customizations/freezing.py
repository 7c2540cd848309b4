"""Freezes layers for the first epochs or for the whole training."""

from collections.abc import Iterable
from typing import Any, Final

from app.jobs.spec.customize import Freeze
from worker.trainer.customizations.layers import ModelLayers
from worker.trainer.errors import BadSpec
from worker.trainer.protocol import NoticeEvent
from worker.trainer.run import TrainerMixin

NEVER_LEARNS: Final = ".dfl"
"""A part of the names of tensors that Ultralytics always freezes (8.4.190, trainer.py:390)."""


class Freezing(TrainerMixin):
    """Freezes the layers of `customize.freeze` in epochs 1 to N, then unfreezes them.

    Overrides `setup_model` (after super), which is called just before Ultralytics freezes the
    layers in `args.freeze` (trainer.py:381), also on a resume; and `hook_before_epoch` (before
    super). The start of an epoch is early enough: Ultralytics puts the BatchNorm of frozen layers
    into evaluation mode afterwards (trainer.py:503), so its running statistics freeze and unfreeze
    together with the weights. Frozen tensors are always in the optimizer.

    The condition is `epoch >= N` and not `==`, since a resume may begin later. Repeated epochs
    (memory, NaN) have no further effect.
    """

    __epochs_to_wait: int | None = None

    def setup_model(self) -> dict[str, Any] | None:
        """Add the layers to `args.freeze`, which Ultralytics freezes next."""
        checkpoint = super().setup_model()
        if (freeze := self.run.job.spec.customize.freeze) is not None:
            self.args.freeze = self.__layers_to_freeze(freeze)
            self.__epochs_to_wait = freeze.epochs
        return checkpoint

    def hook_before_epoch(self) -> None:
        """Unfreeze the layers when their epochs are over, and report it."""
        waited = self.__epochs_to_wait
        if waited is not None and self.epoch >= waited:
            self.__epochs_to_wait = None
            numbers = self.__unfreeze()
            if self.epoch == waited:  # in a later epoch, an earlier attempt has reported it
                self.__report(numbers)
        super().hook_before_epoch()

    def __layers_to_freeze(self, freeze: Freeze) -> list[int]:
        frozen = ModelLayers.of(self.model).indices(freeze.layers, field="customize.freeze.layers")
        still = (*_names(frozen), NEVER_LEARNS)
        if all(_is_one_of(name, still) for name, _ in self.model.named_parameters()):
            raise BadSpec("customize.freeze.layers freezes every layer, so the model cannot learn.")
        return list(frozen)

    def __unfreeze(self) -> int:
        """Unfreeze the layers and return the number of their parameters."""
        ours = _names(self.args.freeze)
        still = tuple(name for name in self.freeze_layer_names if name not in ours)
        self.freeze_layer_names = list(still)
        numbers = 0
        for name, tensor in self.model.named_parameters():
            if _is_one_of(name, ours) and not _is_one_of(name, still):
                tensor.requires_grad = True
                numbers += tensor.numel()
        return numbers

    def __report(self, numbers: int) -> None:
        epoch, layers = self.epoch + 1, list(self.args.freeze)
        self.run.pipe.emit(
            NoticeEvent(
                code="layers_unfrozen",
                message=f"{len(layers)} layers learn from epoch {epoch} on.",
                data={"epoch": epoch, "layers": layers, "parameters": numbers},
            )
        )


def _names(layers: Iterable[int]) -> tuple[str, ...]:
    """Return the parts that identify the tensor names of the layers (trainer.py:391)."""
    return tuple(f"model.{index}." for index in layers)


def _is_one_of(name: str, parts: tuple[str, ...]) -> bool:
    return any(part in name for part in parts)
