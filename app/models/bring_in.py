"""Add weights to the instance: a file of the operator, or official weights by download.

Only the operator's command downloads. This module never unpickles weights; only a trainer process
does, with the safe loader.
"""

import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final

from app.core.database import Database
from app.core.guarded_files import open_regular
from app.core.storage import ArtifactStore, sha256_of
from app.models.architectures import TASK_SUFFIXES, architecture_of_pretrained
from app.models.digests import OFFICIAL_DIGESTS
from app.models.download import DownloadSource, download
from app.models.errors import (
    BadDigest,
    BadModelName,
    ModelNameTaken,
    NotWeights,
    UnknownTask,
    WrongDigest,
)
from app.models.repository import NewWeights, insert_model, model_of, replace_refused, vouch
from app.models.tables import Model, ModelSource, ModelState

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}\.pt\Z")
"""Names that the `model` of a job spec can have."""
ZIP_MAGIC: Final = b"PK\x03\x04"
DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}\Z")
WAIT_PAUSE_SECONDS: Final = 0.2


@dataclass(frozen=True)
class WeightsOrigin:
    """What is known of weights before their inspection; see `NewWeights`."""

    task: str | None
    source: ModelSource
    vouched: bool | None


def add_model(
    database: Database,
    store: ArtifactStore,
    *,
    file: Path,
    name: str | None = None,
    task: str | None = None,
    sha256: str | None = None,
) -> Model:
    """Store a weights file under a name for the whole instance. Idempotent for the same bytes.

    The model is `inspecting` until a worker has inspected it. The name of refused weights can be
    used again, for other weights or to inspect the same weights another time.

    Args:
        database: the database for the model's row.
        store: the store for the bytes.
        file: a file in the zip format of `torch.save`; only its first bytes are checked here.
        name: the name for jobs, ending in `.pt`. Default: the file's name.
        task: the task of the weights; with another task they are refused. Default: the task of the
            official weights with this name; for other names, the task that the inspection finds.
        sha256: the digest (hex) that the file must have.

    Raises:
        BadDigest: `sha256` is no digest.
        WrongDigest: the file has another digest.
        BadModelName: a job could not use the name.
        UnknownTask: the task does not exist.
        NotWeights: the file is missing or is not a weights file.
        ModelNameTaken: other weights have the name.
    """
    name = checked_name(name or file.name)
    task = checked_task(name, task)
    check_weights(file)
    expected = checked_digest(sha256)
    _check_digest(name, file, expected)
    known = WeightsOrigin(task, ModelSource.FILE, vouched=True if expected else None)
    return _keep(database, store, file, name=name, known=known)


def add_official(
    database: Database,
    store: ArtifactStore,
    *,
    name: str,
    source: DownloadSource,
    sha256: str | None = None,
    digests: Mapping[str, str] = OFFICIAL_DIGESTS,
) -> Model:
    """Download official weights and add them, unless the instance has them already.

    Without a digest, from the table or from the operator, they are recorded as unvouched.

    Args:
        database: the database for the model's row.
        store: the store for the bytes.
        name: the name of the weights, such as `yolo26n.pt`.
        source: where they come from.
        sha256: the digest (hex) that they must have, whatever the table says.
        digests: the known SHA-256 digests (hex) by name.

    Raises:
        BadModelName: there are no official weights with this name.
        BadDigest: `sha256` is no digest.
        DownloadFailed: the server is unreachable, refuses, sends an incomplete response, or leads
            to a place from which nothing is downloaded.
        WrongDigest: the bytes do not match the known digest.
        NotWeights: the response is not a weights file.
    """
    shipped = architecture_of_pretrained(name)
    if shipped is None:
        raise BadModelName(f"There are no official weights named {name}; try yolo26n.pt.")
    expected = checked_digest(sha256)
    present = _present(database, name)
    if present is not None:
        return present if expected is None else _vouched(database, present, expected)
    with tempfile.TemporaryDirectory(prefix="trainyard-models-") as directory:
        file = Path(directory) / name
        download(source, name, file)
        for digest in (digests.get(name), expected):
            _check_digest(name, file, digest)
        check_weights(file)
        is_vouched = name in digests or expected is not None
        known = WeightsOrigin(shipped.task, ModelSource.OFFICIAL, vouched=is_vouched)
        return _keep(database, store, file, name=name, known=known)


def wait_for_inspection(database: Database, model: Model, *, seconds: float) -> Model:
    """Wait up to `seconds` for the model's inspection and return the model as it is then."""
    deadline, pause = time.monotonic() + seconds, Event()
    while model.state is ModelState.INSPECTING and time.monotonic() < deadline:
        pause.wait(WAIT_PAUSE_SECONDS)
        with database.read() as unit:
            model = model_of(unit.session, (), model.id) or model
    return model


def checked_name(name: str) -> str:
    """Return a name that jobs can use.

    Raises:
        BadModelName: they could not.
    """
    if NAME.match(name) is None:
        raise BadModelName(
            "A model's name has only letters, digits and ._- and ends in .pt, like my-weights.pt."
        )
    return name


def checked_task(name: str, task: str | None) -> str | None:
    """Return the task that weights must have: the given one, or that of the official name.

    Raises:
        UnknownTask: there is no such task.
    """
    shipped = architecture_of_pretrained(name)
    chosen = task or (shipped.task if shipped else None)
    if chosen is not None and chosen not in TASK_SUFFIXES:
        raise UnknownTask(f"{chosen} is not a task. Use --task {' | '.join(TASK_SUFFIXES)}.")
    return chosen


def check_weights(file: Path) -> None:
    """Check the first bytes of a file of weights.

    Raises:
        NotWeights: it cannot be read, or is no zip as written by `torch.save`.
    """
    try:
        with file.open("rb") as opened:
            begins = opened.read(len(ZIP_MAGIC))
    except OSError as error:
        raise NotWeights(f"{file.name} cannot be read: {error.strerror}.") from error
    if begins != ZIP_MAGIC:
        raise NotWeights(f"{file.name} is not a zip archive as written by torch.save.")


def checked_digest(sha256: str | None) -> str | None:
    """Return a digest in lower-case hex.

    Raises:
        BadDigest: it is no SHA-256.
    """
    if sha256 is not None and DIGEST.match(sha256) is None:
        raise BadDigest("A SHA-256 has 64 hexadecimal digits.")
    return None if sha256 is None else sha256.lower()


def _check_digest(name: str, file: Path, expected: str | None) -> None:
    if expected is None:
        return
    received, _ = sha256_of(file)
    if received != expected:
        raise WrongDigest(name, expected=expected, received=received)


def _vouched(database: Database, present: Model, expected: str) -> Model:
    with database.write() as unit:
        vouched = vouch(unit.session, present.id, sha256=expected)
    if vouched is None:
        raise WrongDigest(present.name, expected=expected, received=present.sha256)
    return vouched


def _keep(
    database: Database,
    store: ArtifactStore,
    file: Path,
    *,
    name: str,
    known: WeightsOrigin,
) -> Model:
    with open_regular(file.resolve()) as opened:
        stored = store.put_open_file(opened)
    weights = NewWeights(
        name,
        known.task,
        known.source,
        stored.sha256,
        stored.size_bytes,
        vouched=known.vouched,
    )
    with database.write() as unit:
        present = model_of(unit.session, (), name)
        if present is None:
            return insert_model(unit.session, weights)
        replaced = replace_refused(unit.session, present.id, weights)
    if replaced is not None:
        return replaced
    if present.sha256 != stored.sha256:
        raise ModelNameTaken(name)
    return present


def _present(database: Database, name: str) -> Model | None:
    with database.read() as unit:
        present = model_of(unit.session, (), name)
    return None if present is None or present.state is ModelState.REFUSED else present
