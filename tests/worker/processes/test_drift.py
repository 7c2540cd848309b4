"""A forked trainer finds the same modules, settings and limits as one in a new process.

An upgrade of Ultralytics or torch can add a variable that remembers the process that imported it.
The test names such a variable: the preloaded parent has to replace it in its children.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.worlds.processes import STARTERS
from worker.processes.process import Command
from worker.trainer.environment import trainer_environment

ROOT: Final = Path(__file__).parents[3]

EXPLAINED: Final = {
    r"sys\.(orig_)?argv|.*\.ARGV|ultralytics\.cfg\.\w+_HELP_MSG": "read by the command line `yolo`",
    r"__mp_main__\..*": "the program that was started; nothing starts another interpreter from it",
    r"sys\.path_importer_cache|_frozen_importlib_external\..*": "which folders were read when",
    r"posix\.environ": "the environment at the start; os.environ counts",
    r"pydantic\._internal\._known_annotated_metadata\.c": "left by a loop over a set",
    r"matplotlib\.texmanager\.TexManager\._cache_dir": "for LaTeX, which draws nothing here",
    r"logging\._startTime": "only for times relative to the start, which no format shows",
    r"threading\._shutdown_locks": "locks of threads",
    r"torch\.distributed\._composable\.contract\..*": "random names of attributes",
    r"sympy\.core\.symbol\.Dummy\._base_dummy_index": "a random number for names of symbols",
}
"""Variables that differ, and why that changes no training."""

ADDRESSES: Final = re.compile(r"0x[0-9a-f]{8,}|\b[0-9]{14,}\b")


def facts_of_a_process(way: str, folder: Path) -> dict[str, Any]:
    """Return what a trainer process finds, with the names of its folder and attempt replaced."""
    run, name = folder / "run", f"attempt-{way}-{os.getpid()}"
    run.mkdir()
    environment = trainer_environment(folder, gpu=None, base=os.environ | {"PYTHONPATH": str(ROOT)})
    argv = [sys.executable, "-m", "tests.worker.processes.process_facts", str(folder / "facts")]
    command = Command(argv, environment, run, name)
    with (
        (folder / "log").open("wb") as output,
        STARTERS[way]().start(command, output, heavy=True) as process,
    ):
        assert process.wait(240) == 0, (folder / "log").read_text()
    text = (folder / "facts").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.replace(str(folder), "FOLDER").replace(name, "ATTEMPT"))
    return found


def is_equal(one: object, other: object) -> bool:
    """Compare but for addresses, and for the order in which sets were written."""
    texts = [ADDRESSES.sub("ADDRESS", json.dumps(value, sort_keys=True)) for value in (one, other)]
    return texts[0] == texts[1] or sorted(texts[0]) == sorted(texts[1])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return [facts_of_a_process(way, tmp_path_factory.mktemp(way)) for way in STARTERS]


class TestDrift:
    def test_a_forked_trainer_finds_what_one_in_a_new_process_finds(
        self, both: list[dict[str, Any]]
    ) -> None:
        cold, warm = both

        differing = {
            name: (cold[name], warm.get(name))
            for name in cold
            if not any(re.fullmatch(pattern, name) for pattern in EXPLAINED)
            and not is_equal(cold[name], warm.get(name))
        }

        assert differing == {}
        assert len(cold) > 10_000

    @pytest.mark.slow
    def test_a_forked_trainer_imports_no_more_than_one_in_a_new_process(
        self, both: list[dict[str, Any]]
    ) -> None:
        cold, warm = both

        assert set(warm["modules"]) - set(cold["modules"]) <= {"runpy"}
