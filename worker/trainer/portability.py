"""Proof that a best.pt works anywhere: stock Ultralytics reads it, safely, without Trainyard.

Torch-free itself: it only says which process shall try.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# An editable install of Trainyard lies in site-packages, which -I keeps: hence the finder.
_PROGRAM: Final = """
import sys

class NoTrainyard:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"app", "worker"}:
            raise ModuleNotFoundError(f"{name} must not be needed", name=name)

sys.meta_path.insert(0, NoTrainyard())
from ultralytics import YOLO

model = YOLO(sys.argv[1])
print(model.task, len(model.names))
"""


@dataclass(frozen=True)
class PortabilityCheck:
    """A process that leaves with 0 when the weights load. To be run in an empty directory."""

    argv: list[str]
    env: dict[str, str]


def portability_check(weights: Path, environment: dict[str, str]) -> PortabilityCheck:
    """Return the process that loads `weights`.

    Args:
        weights: absolute path of a finished best.pt.
        environment: as made by `trainer_environment` (safe load, offline, its own config).
    """
    return PortabilityCheck([sys.executable, "-I", "-c", _PROGRAM, str(weights)], dict(environment))
