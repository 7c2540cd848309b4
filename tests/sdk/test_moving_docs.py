"""The scripts of docs/moving.md: those before are Python, those after train and report.

The trackers are stand-ins that record calls, with the signatures and the rules for names of the
real ones.
"""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.worlds.server import Server, trainyard_up

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs/moving.md").read_text(encoding="utf-8")
STAND_INS: Final = Path(__file__).parent / "trackers"
SECONDS: Final = 900
METRICS: Final = ("metrics/mAP50(B)", "train/box_loss", "val/cls_loss")
MOST_LINES: Final = 8


def scripts(when: str) -> dict[str, str]:
    """Return the scripts before or after a move, by their sections; a second one has a number."""
    found: dict[str, str] = {}
    for section in re.split(r"^###? ", PAGE, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        for number, text in enumerate(
            re.findall(rf"{when}:\n\n```python\n(.*?)```", section, re.DOTALL)
        ):
            found[f"{title} {number}" if number else title] = text
    return found


BEFORE: Final = scripts("Before")
AFTER: Final = scripts("After")


@pytest.mark.unit
class TestScripts:
    def test_every_script_is_before_or_after_a_move(self) -> None:
        assert len(BEFORE) + len(AFTER) == PAGE.count("```python")
        assert BEFORE.keys() == {title for title in AFTER if not title.endswith(" 1")}

    @pytest.mark.parametrize("title", BEFORE)
    def test_a_script_before_trains_with_ultralytics(self, title: str) -> None:
        imports = {
            node.module
            for node in ast.walk(ast.parse(BEFORE[title]))
            if isinstance(node, ast.ImportFrom)
        }

        assert "ultralytics" in imports

    @pytest.mark.parametrize("title", AFTER)
    def test_a_script_after_needs_no_ultralytics(self, title: str) -> None:
        ast.parse(AFTER[title])

        assert "ultralytics" not in AFTER[title]

    def test_a_folder_becomes_weights_in_few_lines(self) -> None:
        lines = [line for line in AFTER["From `yolo train` 1"].splitlines() if line]

        assert len(lines) <= MOST_LINES


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401
    with trainyard_up(tmp_path_factory.mktemp("moving") / "home") as server:
        yield server


def run(script: str, server: Server, folder: Path) -> list[list[Any]]:
    """Run a script beside `shapes/`; return the calls that the stand-ins recorded."""
    calls = folder / "calls.jsonl"
    clean = {name: text for name, text in os.environ.items() if name[:9] != "TRAINYARD"}
    path = os.pathsep.join(map(str, (ROOT / "sdk", STAND_INS, ROOT)))
    access = {"TRAINYARD_HOME": str(server.home), "PYTHONPATH": path, "CALLS": str(calls)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=folder,
        env={**clean, **access},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(SECONDS * 2)
class TestMoves:
    @pytest.mark.parametrize("title", [it for it in AFTER if it.startswith("From")])
    def test_a_script_after_leaves_weights(self, server: Server, shapes: Path, title: str) -> None:
        folder = shapes.parent

        run(AFTER[title], server, folder)

        (weights,) = folder.rglob("best.pt")
        assert weights.stat().st_size > 1_000_000

    @pytest.mark.parametrize("title", ["MLflow", "W&B", "ClearML"])
    def test_a_tracker_gets_each_epoch_once_and_the_weights(
        self, server: Server, shapes: Path, title: str
    ) -> None:
        calls = run(AFTER[title], server, shapes.parent)

        numbers = [(step, key) for kind, step, key in calls if kind == "metric"]
        for key in METRICS:
            plain = re.sub(r"[()]", "", key) if title == "MLflow" else key
            assert [step for step, name in numbers if name == plain] == [1, 2]
        assert [name for kind, _, name in calls if kind == "file"] == ["best.pt"]
        assert ["parameter", None, "epochs"] in calls
