"""Read a dataset of this machine as `yolo` would, to send what a training reads and no more."""

from trainyard.packing.layout import Packing, read_dataset
from trainyard.packing.splits import LayoutError

__all__ = ["LayoutError", "Packing", "read_dataset"]
