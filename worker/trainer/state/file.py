"""The file of a training state: plain data, replaced atomically, with the digests of its run."""

import hashlib
import os
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from app.artifacts.names import BEST
from app.core.files import whole_file
from worker.trainer.state.generators import Plain
from worker.trainer.state.not_exact import NotExact

FORMAT: Final = 1


class StateHeader(BaseModel):
    """The part of a training state that is checked before its parts are restored in a trainer.

    `epochs` is the total that its schedule was planned for, `batch` the images of a batch,
    `batches` the batches of an epoch, `arguments` what Ultralytics chose where the spec left it
    open. `files` has the SHA-256 of results.csv and of each best file at the end of `epoch`, by
    name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    epoch: int
    epochs: int
    batch: int
    batches: int
    loader_workers: int
    arguments: dict[str, Any]
    environment: dict[str, str | int | None]
    files: dict[str, str]


@dataclass(frozen=True)
class ExactResume:
    """A training state that fits job and machine, as far as is known before a trainer is built.

    Args:
        header: The header of the state.
        parts: The parts of the state.
        results: The bytes of results.csv, which Ultralytics removes on a start that is not its own
            resume (8.4.190, trainer.py:218).
    """

    header: StateHeader
    parts: Plain
    results: bytes


def write_state(file: Path, header: StateHeader, parts: Mapping[str, Any]) -> int:
    """Replace the file atomically, and return its size in bytes.

    It is not synced, as the run's folder does not outlive its supervisor.

    Raises:
        OSError, RuntimeError: The file cannot be written; the old file, if any, is unchanged and
            nothing else remains.
    """
    with whole_file(file, durable=False) as opened:
        torch.save({"heading": header.model_dump(), "parts": dict(parts)}, opened)
        return opened.tell()


def read_state(file: Path) -> tuple[StateHeader, Plain]:
    """Return header and parts of a state, without running code that the file may contain.

    Raises:
        NotExact: The file cannot be read, or another version wrote it in another format.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        found = content["heading"]["format"]
        if found != FORMAT:
            raise NotExact("other_format", f"The training state has format {found}, not {FORMAT}.")
        return StateHeader.model_validate(content["heading"]), dict(content["parts"])
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValidationError) as error:
        raise NotExact("unreadable_state", f"The training state cannot be read: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise NotExact("unreadable_state", "The file holds no training state.") from error


def best_files(run_directory: Path) -> list[Path]:
    """Return the existing best.pt and best_<name>.pt files of a run."""
    weights = run_directory / "weights"
    named = [weights / BEST, *sorted(weights.glob("best_*.pt"))]
    return [file for file in named if file.exists()]


class Digests:
    """SHA-256 digests of files; a file is read again only if inode, time or size changed."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int], str] = {}

    def of(self, files: Iterable[Path]) -> dict[str, str]:
        """Return the digests by file name."""
        found = {}
        for file in files:
            with file.open("rb") as opened:
                found[file.name] = self.of_open(opened)
        return found

    def of_open(self, file: BufferedReader) -> str:
        """Return the digest of an open file, which may have been replaced under its name."""
        facts = os.fstat(file.fileno())
        key = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
        if key not in self._known:
            file.seek(0)
            self._known[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._known[key]
