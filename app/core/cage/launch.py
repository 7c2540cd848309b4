"""`launch.py CAGE PROGRAM ARGUMENT…`: enter the cage, and become the program.

Run as a file by `python -I -S`: it imports only the standard library and this folder.
"""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))

from app.core.cage.definition import FAILED, Cage, CageFailed
from app.core.cage.enter import enter_as_written


def launched(argv: Sequence[str], cage: Cage | None) -> list[str]:
    """Return the arguments of a process that enters the cage, if there is one, and runs `argv`."""
    if cage is None:
        return list(argv)
    return [sys.executable, "-IS", __file__, cage.to_json(), *argv]


def main(arguments: list[str]) -> None:
    """Enter the cage and run the program; end with FAILED if the cage or the program fails."""
    text, *program = arguments
    try:
        enter_as_written(text)
        for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(ignored_by_python, signal.SIG_DFL)
        os.execv(program[0], program)  # noqa: S606 -- no shell
    except (CageFailed, OSError) as error:
        with suppress(OSError):
            sys.stderr.write(f"The process could not enter its cage: {error}\n")
            sys.stderr.flush()
    finally:
        os._exit(FAILED)


if __name__ == "__main__":
    main(sys.argv[1:])
