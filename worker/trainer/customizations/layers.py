"""The number of layers of the trained model, and the layers that a selector refers to."""

from dataclasses import dataclass
from typing import Any, Self

from ultralytics.utils.torch_utils import unwrap_model

from app.jobs.spec.customize import Layers, layer_indices
from worker.trainer.errors import BadSpec
from worker.trainer.upstream import Untyped


@dataclass(frozen=True)
class ModelLayers:
    """The layers of `model.model`, from 0; the first `backbone` of them are the yaml's backbone.

    The server knows the same numbers for the architectures that it offers. For other weights they
    are known only when the model is loaded.
    """

    total: int
    backbone: int

    @classmethod
    def of(cls, model: Untyped) -> Self:
        """Read the numbers from a model, wrapped or not (Ultralytics 8.4.190, tasks.py)."""
        bare: Any = unwrap_model(model)
        return cls(total=len(bare.model), backbone=len(bare.yaml["backbone"]))

    def indices(self, layers: Layers, *, field: str) -> tuple[int, ...]:
        """Return the layers that a selector refers to, ascending.

        Args:
            layers: The selector from the spec.
            field: The field of the spec, for the message.

        Raises:
            BadSpec: The model has no such layer.
        """
        indices = layer_indices(layers, self.backbone)
        if indices[-1] >= self.total:
            raise BadSpec(
                f"{field} names layer {indices[-1]}, but the model has the layers 0 to "
                f"{self.total - 1}, of which the first {self.backbone} are its backbone."
            )
        return indices
