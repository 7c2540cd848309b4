"""Proves that weights work anywhere: stock Ultralytics loads them safely and runs them.

The proof runs in a process where Trainyard cannot be imported. This module does not import torch:
it describes the process and reads its verdict.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from app.jobs.end_reasons import EndReason
from worker.trainer.protocol import ProtocolModel, exit_code_of

# -I keeps site-packages, which may have an editable install of Trainyard: the finder hides it.
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
    """The facts proven about a file, by one forward pass of an image of `imgsz` pixels."""

    loads: bool
    forward: bool
    safe_load: bool
    ultralytics: str
    task: str
    classes: int
    parameters: int
    imgsz: int


class Verdict(ProtocolModel):
    """The checks of the files that passed, by file name, and why the first other file failed."""

    checks: dict[str, WeightsChecks] = Field(default={})
    failure: str | None = None


@dataclass(frozen=True)
class PortabilityCheck:
    """A process that exits with 0 when all weights pass. Run it in an empty directory."""

    argv: list[str]
    env: dict[str, str]
    verdict_file: Path

    def verdict(self) -> Verdict:
        """Return the verdict of the process, after it has ended; empty if it wrote none."""
        try:
            return Verdict.model_validate_json(self.verdict_file.read_bytes())
        except (FileNotFoundError, ValidationError):
            return Verdict()


def portability_check(
    weights: Sequence[Path], environment: dict[str, str], verdict_file: Path
) -> PortabilityCheck:
    """Return one process that proves all weights, since a process takes seconds to start.

    Args:
        weights: Absolute paths of finished weights, with different names.
        environment: The environment from `trainer_environment` (safe load, offline, its own
            config).
        verdict_file: The file to which the process writes its verdict; absolute.
    """
    program = [sys.executable, "-I", "-c", _PROGRAM, str(_PROOF)]
    arguments = [str(exit_code_of(EndReason.NOT_PORTABLE)), verdict_file, *weights]
    return PortabilityCheck([*program, *map(str, arguments)], dict(environment), verdict_file)
