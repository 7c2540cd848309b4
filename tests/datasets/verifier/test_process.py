"""The process that a server starts for one verification."""

import sys
from pathlib import Path

from app.datasets.reports.report import PackRequest
from app.datasets.verification_process import run_process

COUNT_THREADS = """
import os

import app.datasets.verification.verify

print(len(os.listdir("/proc/self/task")), app.datasets.verification.verify.__name__)
"""


class TestThreads:
    def test_a_verification_has_one_thread_after_its_libraries_are_loaded(
        self, tmp_path: Path
    ) -> None:
        program = tmp_path / "program.py"
        program.write_text(COUNT_THREADS)
        request = PackRequest(pack=tmp_path / "pack.zip", output=tmp_path, task="detect")

        ended = run_process(
            (sys.executable, str(program)), request, tmp_path, interrupted=lambda _: False
        )

        assert (ended.exit_code, ended.output.split()[0]) == (0, "1")
