"""The proof of weights in a separate process, as the supervisor runs it."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from worker.trainer.environment import trainer_environment
from worker.trainer.weights.portability import Verdict, portability_check


def verdict_of(weights: Sequence[Path], directory: Path) -> Verdict:
    """Return the verdict of stock Ultralytics, which loads safely and without Trainyard.

    Args:
        weights: files with different names.
        directory: the parent of a new, empty working directory.
    """
    place = directory / "proof"
    place.mkdir()
    environment = trainer_environment(place, gpu=None, base=os.environ)
    check = portability_check(weights, environment, place / "verdict.json")
    subprocess.run(check.argv, cwd=place, env=check.env, capture_output=True, check=False)
    return check.verdict()
