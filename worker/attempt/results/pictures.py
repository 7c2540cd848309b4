"""Runs the process that makes small JPEGs of files that are not trusted, in its cage."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.guarded_files import FileRefused, open_regular, tail_of_regular
from app.core.logging import get_logger
from worker.attempt.claimed import ClaimedAttempt
from worker.pictures.requests import (
    MOST_PICTURES,
    PictureOrder,
    PicturesRequest,
    read_report,
)
from worker.processes.process import Command
from worker.trainer.environment import trainer_environment

POLL_SECONDS: Final = 0.05
SECONDS: Final = 300.0
"""Of a process that does not end by itself; it also has a limit of processor time."""
MAX_LOGGED_BYTES: Final = 2000

log = get_logger(__name__)


@dataclass(frozen=True)
class PictureLimits:
    """The largest picture to make: pixels and bytes."""

    width: int
    height: int
    size_bytes: int


@dataclass(frozen=True)
class Picture:
    """A JPEG that the process made: its file, size, and the size of the image that it shows."""

    file: Path
    width: int
    height: int
    source_width: int
    source_height: int


def make_pictures(
    attempt: ClaimedAttempt,
    wanted: Sequence[tuple[Path, PictureLimits]],
    *,
    read: Sequence[Path],
) -> Mapping[int, Picture]:
    """Return the picture of each file by its place in `wanted`; files without one are left out.

    Args:
        attempt: the attempt.
        wanted: absolute paths of files, and how large their pictures may be.
        read: the folders that the process may read.

    Raises:
        LeaveRequested, LeaseLost: the attempt must not continue.
    """
    if not wanted:
        return {}
    scratch = attempt.directory.new_folder()  # a training may have written anything to its own
    home, folder = scratch / "home", scratch / "pictures"
    for each in (home, folder):
        each.mkdir()
    wanted = wanted[:MOST_PICTURES]
    request = _request(attempt, wanted, folder)
    _run(attempt, request, home, [*read, folder])
    return _made(request, wanted)


def _request(
    attempt: ClaimedAttempt, wanted: Sequence[tuple[Path, PictureLimits]], folder: Path
) -> PicturesRequest:
    return PicturesRequest(
        pictures=[
            PictureOrder(
                source=source,
                target=folder / f"{number}.jpg",
                max_width=limits.width,
                max_height=limits.height,
                max_bytes=limits.size_bytes,
            )
            for number, (source, limits) in enumerate(wanted)
        ],
        report=folder / "report.jsonl",
        memory_limit_bytes=attempt.memory_limit_bytes,
    )


def _run(
    attempt: ClaimedAttempt, request: PicturesRequest, home: Path, read: Sequence[Path]
) -> None:
    folder = request.report.parent
    order, output = home / "request.json", home / "output.log"
    order.write_text(request.model_dump_json(), encoding="utf-8")
    environment = trainer_environment(home, gpu=None, base=os.environ)
    context, program = attempt.context, attempt.context.painter_argv
    cage = context.cages.cage(environment, read=read, write=[home, folder], program=program)
    argv = [*program, str(order)]
    command = Command(argv, environment, folder, attempt.directory.attempt, cage=cage)
    end = time.monotonic() + SECONDS
    with (
        output.open("wb") as written,
        context.starter.start(command, written, heavy=True, check=attempt.check) as process,
    ):
        while (exit_code := process.wait(POLL_SECONDS)) is None:
            attempt.check()
            if time.monotonic() > end:
                break
    if exit_code != 0 or output.stat().st_size:
        tail = tail_of_regular(output, most_bytes=MAX_LOGGED_BYTES)
        log.warning("pictures.not_all_made", job_id=attempt.job.id, code=exit_code, output=tail)


def _made(
    request: PicturesRequest, wanted: Sequence[tuple[Path, PictureLimits]]
) -> Mapping[int, Picture]:
    """Return the pictures that were reported, and that are not larger than they may be."""
    found: dict[int, Picture] = {}
    for made in read_report(request.report):
        if made.number >= len(wanted):
            continue
        limits, file = wanted[made.number][1], request.pictures[made.number].target
        if made.width > limits.width or made.height > limits.height:
            continue
        if _is_jpeg(file, limits.size_bytes):
            size = (made.width, made.height, made.source_width, made.source_height)
            found[made.number] = Picture(file, *size)
    return found


def _is_jpeg(file: Path, most_bytes: int) -> bool:
    try:
        with open_regular(file, most_bytes=most_bytes) as content:
            return content.read(3) == b"\xff\xd8\xff"
    except (FileNotFoundError, FileRefused):
        return False
