"""`python -m worker.trainer.weights FILE REPORT MEMORY_BYTES`: inspect weights, report as JSON.

It runs as a separate process in the environment of a trainer, since reading weights means reading
an untrusted pickle. Torch is imported only after memory is limited.
"""

import importlib
import sys
from pathlib import Path

from app.jobs.end_reasons import EndReason
from worker.trainer.interrupts import die_with_parent, limit_memory
from worker.trainer.protocol import exit_code_of


def main(arguments: list[str]) -> int:
    """Inspect the file, write the report and return the exit code."""
    file, report, memory_bytes = arguments
    if not die_with_parent():
        return exit_code_of(EndReason.WORKER_LOST)
    limit_memory(int(memory_bytes))
    inspect = importlib.import_module("worker.trainer.weights.reading").inspect
    Path(report).write_text(inspect(Path(file)).model_dump_json(), encoding="utf-8")
    return exit_code_of(EndReason.SUCCEEDED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
