"""The proof of weights in a process of its own, as the supervisor lets it run."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from worker.trainer.environment import trainer_environment
from worker.trainer.weights.portability import Verdict, portability_check


def verdict_of(weights: Sequence[Path], directory: Path) -> Verdict:
    """Return what stock Ultralytics, safely loading and without Trainyard, says of the files.

    Args:
        weights: of different names.
        directory: an empty one is made in it.
    """
    place = directory / "proof"
    place.mkdir()
    environment = trainer_environment(place, gpu=None, base=os.environ)
    check = portability_check(weights, environment, place / "verdict.json")
    subprocess.run(check.argv, cwd=place, env=check.env, capture_output=True, check=False)
    return check.verdict()
