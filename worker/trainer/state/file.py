"""The file of a training state: plain data, replaced at once, naming the files it belongs to."""

import hashlib
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
    """What is known of a state before its parts are put into a trainer.

    `epochs` is the total that its schedule was planned for, `batch` what each batch held,
    `arguments` what Ultralytics chose where the spec left it open. `files`: SHA-256 of results.csv
    and of each best file at the end of `epoch`, by name.
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
    """A training state that fits job and machine, as far as can be told before a trainer is built.

    Args:
        header: of the state.
        parts: of the state.
        results: results.csv, which Ultralytics removes on a start that is no resume of its own
            (8.4.190, trainer.py:218).
    """

    header: StateHeader
    parts: Plain
    results: bytes


def write_state(file: Path, header: StateHeader, parts: Mapping[str, Any]) -> int:
    """Replace the file at once, durably; readers never see a part of it. Return its bytes.

    Raises:
        OSError, RuntimeError: it cannot be written; the old one stands, and nothing else.
    """
    with whole_file(file) as opened:
        torch.save({"heading": header.model_dump(), "parts": dict(parts)}, opened)
        return opened.tell()


def read_state(file: Path) -> tuple[StateHeader, Plain]:
    """Return heading and parts of a state; no code that the file may hold is run.

    Raises:
        NotExact: it cannot be read, or another version wrote it in another form.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        found = content["heading"]["format"]
        if found != FORMAT:
            raise NotExact("other_format", f"The training state has form {found}, not {FORMAT}.")
        return StateHeader.model_validate(content["heading"]), dict(content["parts"])
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValidationError) as error:
        raise NotExact("unreadable_state", f"The training state cannot be read: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise NotExact("unreadable_state", "The file holds no training state.") from error


def best_files(run_directory: Path) -> list[Path]:
    """Return best.pt and each best_<name>.pt that a run has by now."""
    weights = run_directory / "weights"
    named = [weights / BEST, *sorted(weights.glob("best_*.pt"))]
    return [file for file in named if file.exists()]


class Digests:
    """SHA-256 of files, each read once as long as it is the same one."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int], str] = {}

    def of(self, files: Iterable[Path]) -> dict[str, str]:
        """Return the digests by file name."""
        return {file.name: self._of(file) for file in files}

    def _of(self, file: Path) -> str:
        facts = file.stat()
        key = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
        if key not in self._known:
            with file.open("rb") as opened:
                self._known[key] = hashlib.file_digest(opened, "sha256").hexdigest()
        return self._known[key]
