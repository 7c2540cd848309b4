"""Makes the output of a trainer plain: no terminal codes, and no folders of this machine.

The worker does this for everything that it reads from the log file, because the output has many
sources: Ultralytics' logger, warnings, tracebacks of the trainer and of its loaders' workers,
libraries in C, and the proof of the weights. All of them write to the same two descriptors.
"""

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

LONGEST_LINE_BYTES: Final = 64 * 1024
_TERMINAL_CODES: Final = re.compile(
    rb"(?:\x1b\[|\xc2\x9b)[0-?]*[ -/]*[@-~]"  # colours, movements of the cursor
    rb"|\x1b[]PX^_].*?(?:\x07|\x1b\\)"  # titles, links
    rb"|\x1b[ -/]*[0-~]"
    rb"|\xc2[\x80-\x9f]"  # control characters of two bytes, U+0080 to U+009F
    rb"|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]|\xd8\x9c"  # line ends and directions
    rb"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
_OVERWRITTEN: Final = re.compile(rb"^.*\r(?=[^\r\n])", re.MULTILINE)
"""The part of a line that later text of the same line replaces, as the steps of a progress bar."""
_LINE_END: Final = re.compile(rb"\r+$", re.MULTILINE)
_BEFORE_A_FOLDER: Final = rb"(?:(?<![\w.])|(?<=[\s'\"]-[IL]))"
_AFTER_A_FOLDER: Final = rb"(?:(?P<slash>/+(?=[^\s'\"/]))|(?![\w-])(?!\.\w))"


class PlainText:
    """Cleans whole lines. Other bytes stay as they are, valid UTF-8 or not.

    - Terminal codes and control characters are removed.
    - Of a line that was written several times over with carriage returns, the last text stays.
    - Paths below one of the `folders` become relative to it; of the folder itself, the name stays.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        names = {os.fsencode(each) for path in folders for each in (path, path.resolve())}
        longest_first = sorted(names, key=len, reverse=True)
        alternatives = b"|".join(map(re.escape, longest_first))
        self._folder = re.compile(
            _BEFORE_A_FOLDER + rb"(?P<folder>" + alternatives + rb")" + _AFTER_A_FOLDER
        )

    def of(self, lines: bytes) -> bytes:
        """Return the lines without terminal codes and folders."""
        visible = _OVERWRITTEN.sub(b"", _TERMINAL_CODES.sub(b"", lines))
        return self._folder.sub(_short, _LINE_END.sub(b"", visible))


def whole_lines(written: bytes) -> tuple[bytes, bytes]:
    """Split output that may end within a line into its whole lines and the rest.

    Of the rest, only the part that is not overwritten is kept. If that part is longer than
    `LONGEST_LINE_BYTES`, it is split behind its last space.
    """
    end = written.rfind(b"\n") + 1
    rest = _OVERWRITTEN.sub(b"", written[end:])
    if len(rest) <= LONGEST_LINE_BYTES:
        return written[:end], rest
    cut = rest.rfind(b" ") + 1 or len(rest)
    return written[:end] + rest[:cut], rest[cut:]


def folders_of_this_machine(attempt: Path, home: Path) -> list[Path]:
    """Return the folders whose paths reveal something about the worker.

    Args:
        attempt: The directory of the attempt.
        home: The home of the instance.
    """
    environment = [] if sys.prefix == sys.base_prefix else [sys.prefix]
    source = Path(__file__).parents[3]
    users = os.path.expanduser("~")  # noqa: PTH111 -- Path.home raises for a user without a home
    folders = [attempt, home, source, *map(Path, [*sys.path, *environment, users])]
    return [folder for folder in folders if folder.is_absolute() and folder != Path("/")]


def _short(found: re.Match[bytes]) -> bytes:
    return b"" if found["slash"] else found["folder"].rpartition(b"/")[2]
