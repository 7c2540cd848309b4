"""Add weights to the instance: a file of the operator, or official weights by download.

Only the operator's command downloads. This module never unpickles weights; only a trainer process
does, with the safe loader.
"""

import re
import tempfile
import time
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from threading import Event
from typing import Final
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from app.core.database import Database
from app.core.storage import ArtifactStore, sha256_of
from app.models.architectures import TASK_SUFFIXES, architecture_of_pretrained
from app.models.digests import OFFICIAL_DIGESTS
from app.models.errors import (
    BadModelName,
    DownloadFailed,
    ModelNameTaken,
    NotWeights,
    UnknownTask,
    WrongDigest,
)
from app.models.repository import NewWeights, insert_model, model_of, replace_refused
from app.models.tables import Model, ModelSource, ModelState

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}\.pt\Z")
"""Names that the `model` of a job spec can have."""
ZIP_MAGIC: Final = b"PK\x03\x04"
PIECE_BYTES: Final = 1024 * 1024
MAX_BYTES: Final = 8 * 1024**3
SILENCE_SECONDS: Final = 30.0
WAIT_PAUSE_SECONDS: Final = 0.2


def add_model(
    database: Database,
    store: ArtifactStore,
    *,
    file: Path,
    name: str | None = None,
    task: str | None = None,
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

    Raises:
        BadModelName: a job could not use the name.
        UnknownTask: the task does not exist.
        NotWeights: the file is missing or is not a weights file.
        ModelNameTaken: other weights have the name.
    """
    name = _checked_name(name or file.name)
    task = _checked_task(name, task)
    _check_weights(file)
    return _keep(database, store, file, name=name, task=task, source=ModelSource.FILE)


def add_official(
    database: Database,
    store: ArtifactStore,
    *,
    name: str,
    base_url: str,
    digests: Mapping[str, str] = OFFICIAL_DIGESTS,
) -> Model:
    """Download official weights and add them, unless the instance has them already.

    Args:
        database: the database for the model's row.
        store: the store for the bytes.
        name: the name of the weights, such as `yolo26n.pt`.
        base_url: the folder on a web server that contains the file.
        digests: the known SHA-256 digests (hex) by name.

    Raises:
        BadModelName: there are no official weights with this name.
        DownloadFailed: the server is unreachable, refuses, or sends an incomplete response.
        WrongDigest: the bytes do not match the known digest.
        NotWeights: the response is not a weights file.
    """
    shipped = architecture_of_pretrained(name)
    if shipped is None:
        raise BadModelName(f"There are no official weights named {name}; try yolo26n.pt.")
    present = _present(database, name)
    if present is not None:
        return present
    with tempfile.TemporaryDirectory(prefix="trainyard-models-") as directory:
        file = Path(directory) / name
        _download(f"{base_url.rstrip('/')}/{name}", file)
        _check_digest(name, file, digests)
        _check_weights(file)
        return _keep(
            database, store, file, name=name, task=shipped.task, source=ModelSource.OFFICIAL
        )


def wait_for_inspection(database: Database, model: Model, *, seconds: float) -> Model:
    """Wait up to `seconds` for the model's inspection and return the model as it is then."""
    deadline, pause = time.monotonic() + seconds, Event()
    while model.state is ModelState.INSPECTING and time.monotonic() < deadline:
        pause.wait(WAIT_PAUSE_SECONDS)
        with database.read() as unit:
            model = model_of(unit.session, (), model.id) or model
    return model


def _checked_name(name: str) -> str:
    if NAME.match(name) is None:
        raise BadModelName(
            "A model's name has only letters, digits and ._- and ends in .pt, like my-weights.pt."
        )
    return name


def _checked_task(name: str, task: str | None) -> str | None:
    shipped = architecture_of_pretrained(name)
    chosen = task or (shipped.task if shipped else None)
    if chosen is not None and chosen not in TASK_SUFFIXES:
        raise UnknownTask(f"{chosen} is not a task. Use --task {' | '.join(TASK_SUFFIXES)}.")
    return chosen


def _check_weights(file: Path) -> None:
    try:
        with file.open("rb") as opened:
            begins = opened.read(len(ZIP_MAGIC))
    except OSError as error:
        raise NotWeights(f"{file.name} cannot be read: {error.strerror}.") from error
    if begins != ZIP_MAGIC:
        raise NotWeights(f"{file.name} is not a zip archive as written by torch.save.")


def _check_digest(name: str, file: Path, digests: Mapping[str, str]) -> None:
    received, _ = sha256_of(file)
    expected = digests.get(name, received)
    if received != expected:
        raise WrongDigest(name, expected=expected, received=received)


def _keep(
    database: Database,
    store: ArtifactStore,
    file: Path,
    *,
    name: str,
    task: str | None,
    source: ModelSource,
) -> Model:
    stored = store.put_file(file)
    weights = NewWeights(name, task, source, stored.sha256, stored.size_bytes)
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


def _download(url: str, to: Path) -> None:
    if urlsplit(url).scheme not in {"http", "https"}:
        raise DownloadFailed(f"{url} is not an http(s) address; set TRAINYARD_MODELS_BASE_URL.")
    request = Request(url, headers={"User-Agent": "trainyard"})  # noqa: S310 -- checked above
    try:
        with urlopen(request, timeout=SILENCE_SECONDS) as response:  # noqa: S310 -- checked above
            _save_whole(url, response, to)
    except (OSError, HTTPException) as error:
        raise DownloadFailed(f"{url} could not be downloaded: {error}.") from error


def _save_whole(url: str, response: HTTPResponse, to: Path) -> None:
    announced = response.headers.get("Content-Length", "")
    if not announced.isdigit() or int(announced) > MAX_BYTES:
        raise DownloadFailed(f"{url} has no Content-Length, or one larger than any weights.")
    received = 0
    with to.open("wb") as file:
        while piece := response.read(PIECE_BYTES):
            received += len(piece)
            file.write(piece)
    if received != int(announced):
        raise DownloadFailed(f"{url} ended after {received} of {announced} bytes; try again.")
