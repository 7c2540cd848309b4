"""From a job to the folder of its run."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from trainyard.core.connection import Connection
from trainyard.core.steps import Operation, call
from trainyard.operations.downloads import Download, download
from trainyard.operations.results import artifact_address, read_artifacts
from trainyard.run_folder import run_files, write_own_arguments

OnFile = Callable[[str, int, int], None]
"""Told the name of a file, and how many of its bytes of how many have arrived."""


def fetch_run(
    connection: Connection,
    job: str,
    folder: Path,
    own_arguments: Mapping[str, Any],
    on_file: OnFile | None = None,
) -> Operation[list[Path]]:
    """Download the files that `yolo` would have written, and return them.

    Args:
        connection: to the server.
        job: its id.
        folder: of the run.
        own_arguments: what only this machine knows: `model`, `data`, `project`, `exist_ok`.
        on_file: told about the bytes that arrived.
    """
    artifacts = yield from read_artifacts(connection, job)
    written = []
    for name, path in run_files(artifacts, folder).items():
        on_bytes = None if on_file is None else partial(on_file, name)
        wanted = Download(artifact_address(job, name), path, on_bytes=on_bytes)
        written.append((yield from download(connection, wanted)))
    yield from call(lambda: write_own_arguments(folder, own_arguments))
    return written
