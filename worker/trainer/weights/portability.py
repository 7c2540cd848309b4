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

from app.core.guarded_files import FileRefused, read_regular
from app.jobs.end_reasons import EndReason
from worker.trainer.protocol import ProtocolModel, exit_code_of

# -I keeps site-packages, which may have an editable install of Trainyard: the first one hides it.
MAX_VERDICT_BYTES: Final = 1024 * 1024
_PROGRAMS: Final = (
    Path(__file__).with_name("without_trainyard.py"),
    Path(__file__).with_name("stock_proof.py"),
)


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
            content = read_regular(self.verdict_file, most_bytes=MAX_VERDICT_BYTES)
            return Verdict.model_validate_json(content)
        except (FileNotFoundError, FileRefused, ValidationError):
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
    failed = exit_code_of(EndReason.NOT_PORTABLE)
    argv = [sys.executable, "-I", *map(str, [*_PROGRAMS, failed, verdict_file, *weights])]
    return PortabilityCheck(argv, dict(environment), verdict_file)
