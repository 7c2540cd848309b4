"""The layers of the model that is really trained: how many, and which of them a selector means."""

from dataclasses import dataclass
from typing import Any, Self

from ultralytics.utils.torch_utils import unwrap_model

from app.jobs.spec.customize import Layers, layer_indices
from worker.trainer.errors import BadSpec
from worker.trainer.upstream import Untyped


@dataclass(frozen=True)
class ModelLayers:
    """Places in `model.model`, from 0; the first `backbone` of them are the yaml's backbone.

    The server has the same numbers of the architectures that it offers; of other weights nobody has
    them before the model is loaded.
    """

    total: int
    backbone: int

    @classmethod
    def of(cls, model: Untyped) -> Self:
        """Read them from an Ultralytics model, wrapped or not (Ultralytics 8.4.190, tasks.py)."""
        bare: Any = unwrap_model(model)
        return cls(total=len(bare.model), backbone=len(bare.yaml["backbone"]))

    def indices(self, layers: Layers, *, field: str) -> tuple[int, ...]:
        """Return the layers that a selector means, ascending.

        Args:
            layers: as in the spec.
            field: of the spec, for the message.

        Raises:
            BadSpec: the model has no such layer.
        """
        meant = layer_indices(layers, self.backbone)
        if meant[-1] >= self.total:
            raise BadSpec(
                f"{field} names layer {meant[-1]}, and the model has the layers 0 to "
                f"{self.total - 1}, the first {self.backbone} of them its backbone."
            )
        return meant
