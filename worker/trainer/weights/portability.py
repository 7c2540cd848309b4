"""Proof that weights work anywhere: stock Ultralytics runs them, safely loaded, without Trainyard.

Torch-free itself: it says which process shall try, and reads what that process found.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from app.jobs.end_reasons import EndReason
from worker.trainer.protocol import ProtocolModel, exit_code_of

# An editable install of Trainyard lies in site-packages, which -I keeps: hence the finder.
_PROGRAM: Final = """
import runpy, sys

class NoTrainyard:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"app", "worker"}:
            raise ModuleNotFoundError(f"{name} must not be needed", name=name)

sys.meta_path.insert(0, NoTrainyard())
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
_PROOF: Final = Path(__file__).with_name("stock_proof.py")


class WeightsChecks(ProtocolModel):
    """What was proven of a file, by one forward pass of an image of `imgsz` pixels."""

    loads: bool
    forward: bool
    safe_load: bool
    ultralytics: str
    task: str
    classes: int
    parameters: int
    imgsz: int


class Verdict(ProtocolModel):
    """Checks of the files that passed, by file name, and why the first other one did not."""

    checks: dict[str, WeightsChecks] = Field(default={})
    failure: str | None = None


@dataclass(frozen=True)
class PortabilityCheck:
    """A process that leaves with 0 when all weights pass. To be run in an empty directory."""

    argv: list[str]
    env: dict[str, str]
    verdict_file: Path

    def verdict(self) -> Verdict:
        """Return what the process found; it has ended."""
        try:
            return Verdict.model_validate_json(self.verdict_file.read_bytes())
        except (FileNotFoundError, ValidationError):
            return Verdict()


def portability_check(
    weights: Sequence[Path], environment: dict[str, str], verdict_file: Path
) -> PortabilityCheck:
    """Return the process that proves weights, all in one: it takes seconds to start.

    Args:
        weights: absolute paths of finished weights, of different names.
        environment: as made by `trainer_environment` (safe load, offline, its own config).
        verdict_file: where the process writes what it found; absolute.
    """
    program = [sys.executable, "-I", "-c", _PROGRAM, str(_PROOF)]
    arguments = [str(exit_code_of(EndReason.NOT_PORTABLE)), verdict_file, *weights]
    return PortabilityCheck([*program, *map(str, arguments)], dict(environment), verdict_file)
