"""Send a dataset: only the files that the project lacks, then wait until it is verified."""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from trainyard.core.connection import Connection, content_of
from trainyard.core.steps import Operation, Request, Wait, call
from trainyard.errors import DatasetInvalidError
from trainyard.operations.uploads import send_file
from trainyard.packing import Packing, read_dataset
from trainyard.packing.listing import as_lines, from_lines, list_files, write_archive
from trainyard.views.base import parsed
from trainyard.views.datasets import DatasetView, FindingView

ARCHIVES: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
LINES: Final = {"Content-Type": "application/x-ndjson"}
FIRST_POLL: Final = 0.2
LONGEST_POLL: Final = 2.0
SHOWN_FINDINGS: Final = 200


@dataclass(frozen=True)
class PushProgress:
    """How far a dataset is.

    Args:
        step: `reading` files here, `sending` them, or `verifying` them on the server.
        done: the share of the step that is done; None if it is not known.
        bytes_done: bytes that were read or sent.
        bytes_total: bytes to read or to send.
    """

    step: str
    done: float | None
    bytes_done: int = 0
    bytes_total: int = 0


OnProgress = Callable[[PushProgress], None]


@dataclass(frozen=True)
class Push:
    """What to send, and as what.

    Args:
        path: a data.yaml, a folder, or an archive.
        name: of the dataset; None: that of the folder.
        project: None: the default project.
        task: that the server reads the files for; None: it finds it out.
        layout_task: the task of the training, which decides what is sent; None: `task`.
        options: other options of an upload, such as `names` or `splits`.
        on_progress: told how far it is. A client with `await` calls it from another thread, too.
        waits: whether to wait until the dataset is verified.
    """

    path: Path
    name: str | None = None
    project: str | None = None
    task: str | None = None
    layout_task: str | None = None
    options: Mapping[str, Any] | None = None
    on_progress: OnProgress | None = None
    waits: bool = True

    @property
    def dataset_name(self) -> str:
        """The name of the dataset."""
        if self.name is not None:
            return self.name
        absolute = self.path.expanduser().absolute()
        is_folder_of_yaml = absolute.suffix in {".yaml", ".yml"} and absolute.stem in {
            "data",
            "dataset",
        }
        name = absolute.parent.name if is_folder_of_yaml else absolute.name.partition(".")[0]
        return name or "dataset"

    def tell(self, step: str, done: int = 0, total: int = 0) -> None:
        """Report that a step went on."""
        if self.on_progress is not None:
            share = done / total if total else None
            self.on_progress(PushProgress(step, share, done, total))

    def tell_verifying(self, view: DatasetView) -> None:
        """Report that the server verifies the dataset."""
        if self.on_progress is not None:
            share = None if view.progress is None else view.progress.done
            self.on_progress(PushProgress("verifying", share))


def push_dataset(connection: Connection, push: Push) -> Operation[DatasetView]:
    """Send a dataset and return its version.

    Raises:
        LayoutError: it is no dataset; nothing was sent.
        DatasetInvalidError: the verification found errors.
        ProblemError: the server refuses it.
    """
    if push.path.name.lower().endswith(ARCHIVES) and not push.path.is_dir():
        view = yield from _send_archive(connection, push)
    else:
        packing = yield from call(lambda: read_dataset(push.path, push.layout_task or push.task))
        view = yield from _send_files(connection, push, packing)
    if push.waits:
        view = yield from wait_until_verified(connection, view, push.tell_verifying)
    return view


def _send_archive(connection: Connection, push: Push) -> Operation[DatasetView]:
    upload = yield from send_file(
        connection, push.path, push.project, partial(push.tell, "sending")
    )
    body = {"upload": upload.id, "name": push.dataset_name, **_own_options(push)}
    document = yield from connection.json(
        "POST", "/v1/datasets/from-upload", json=body, is_repeatable=True
    )
    return parsed(DatasetView, document)


def _send_files(connection: Connection, push: Push, packing: Packing) -> Operation[DatasetView]:
    files = yield from call(lambda: list_files(packing, partial(push.tell, "reading")))
    lines = as_lines(files)
    request = Request(
        "POST",
        "/v1/datasets/missing-files",
        params={"project": push.project},
        headers=LINES,
        content=lines,
        is_repeatable=True,
    )
    answer = yield from connection.send(request)
    missing = from_lines(answer.content.decode())
    upload = None
    if missing:
        with tempfile.TemporaryDirectory(prefix="trainyard-") as folder:
            archive = yield from call(lambda: write_archive(packing, missing, Path(folder)))
            sent = yield from send_file(
                connection, archive, push.project, partial(push.tell, "sending")
            )
            upload = sent.id
    options = {key: _as_parameter(value) for key, value in _own_options(push).items()}
    params = {**options, "name": push.dataset_name, "upload": upload}
    again = Request("POST", "/v1/datasets/from-files", params, LINES, lines, is_repeatable=True)
    answer = yield from connection.send(again)
    return parsed(DatasetView, content_of(answer))


def _own_options(push: Push) -> dict[str, Any]:
    own = {"project": push.project, "task": push.task, **(push.options or {})}
    return {key: value for key, value in own.items() if value is not None}


def _as_parameter(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping) else value


def wait_until_verified(
    connection: Connection, view: DatasetView, on_view: Callable[[DatasetView], None]
) -> Operation[DatasetView]:
    """Wait until a version is verified and return it.

    Raises:
        DatasetInvalidError: the verification found errors.
    """
    pause = FIRST_POLL
    while view.state == "validating":
        on_view(view)
        yield Wait(pause)
        pause = min(pause * 1.5, LONGEST_POLL)
        document = yield from connection.json("GET", f"/v1/datasets/{view.version}")
        view = parsed(DatasetView, document)
    if view.state == "invalid":
        findings = yield from read_findings(connection, view)
        raise DatasetInvalidError(view, [each for each in findings if each.severity != "info"])
    return view


def read_findings(connection: Connection, view: DatasetView) -> Operation[list[FindingView]]:
    """Read the first findings of a version, errors first."""
    params = {"version": view.version, "limit": SHOWN_FINDINGS}
    page = yield from connection.json("GET", f"/v1/datasets/{view.id}/findings", params=params)
    return [parsed(FindingView, each) for each in page["data"]]
