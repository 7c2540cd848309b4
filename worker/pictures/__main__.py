"""`python -m worker.pictures REQUEST`: make small JPEGs, and report each as one line of JSON.

A file that breaks the decoder ends the process: pictures that were reported before are kept.
"""

import importlib
import resource
import sys
from pathlib import Path
from typing import Final

from worker.pictures.requests import MadePicture, PictureOrder, PicturesRequest
from worker.trainer.interrupts import die_with_parent, limit_memory

CPU_SECONDS: Final = 120
"""More than a thousand pictures take; a decoder that does not end is ended then."""


def main(arguments: list[str]) -> int:
    """Make the pictures of the request and return the exit code."""
    request = PicturesRequest.model_validate_json(Path(arguments[0]).read_bytes())
    if not die_with_parent():
        return 1
    limit_memory(request.memory_limit_bytes)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    with request.report.open("a", encoding="utf-8") as report:
        for number, order in enumerate(request.pictures):
            made = _made(number, order)
            if made is not None:
                report.write(made.model_dump_json() + "\n")
                report.flush()
    return 0


def _made(number: int, order: PictureOrder) -> MadePicture | None:
    encoding = importlib.import_module("worker.pictures.encoding")
    encoding.be_quiet()
    try:
        picture = encoding.encoded(
            order.source.read_bytes(),
            max_width=order.max_width,
            max_height=order.max_height,
            max_bytes=order.max_bytes,
        )
    except (encoding.NotEncoded, OSError, MemoryError) as error:
        sys.stderr.write(f"{order.source.name!r}: {error}\n")
        return None
    order.target.write_bytes(picture.content)
    return MadePicture(
        number=number,
        width=picture.width,
        height=picture.height,
        source_width=picture.source_width,
        source_height=picture.source_height,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
