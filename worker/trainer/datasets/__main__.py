"""`python -m worker.trainer.datasets REQUEST`: prepare a dataset, and report as JSON.

It runs as a separate process in the environment of a trainer, since it decodes images of strangers.
Torch is imported only after memory is limited.
"""

import importlib
import sys
from pathlib import Path

from app.core.files import write_whole
from app.jobs.end_reasons import EndReason
from worker.trainer.datasets.requests import PreparationRequest
from worker.trainer.interrupts import die_with_parent, limit_memory
from worker.trainer.protocol import ProtocolModel, exit_code_of


def main(arguments: list[str]) -> int:
    """Do what the request says, write the report and return the exit code."""
    request = PreparationRequest.model_validate_json(Path(arguments[0]).read_bytes())
    if not die_with_parent():
        return exit_code_of(EndReason.WORKER_LOST)
    limit_memory(request.memory_limit_bytes)
    write_whole(request.report, _made(request).model_dump_json(), durable=False)
    return exit_code_of(EndReason.SUCCEEDED)


def _made(request: PreparationRequest) -> ProtocolModel:
    upstream = importlib.import_module("worker.trainer.upstream")
    upstream.configure_ultralytics(threads=request.threads)
    folder = request.dataset.resolve()
    module = importlib.import_module(f"worker.trainer.datasets.{request.make}")
    if request.make == "arrays":
        report: ProtocolModel = module.write_arrays(folder, request.task)
    else:
        report = module.write_scan(
            folder, request.task, request.output, single_cls=request.single_cls
        )
    return report


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
