"""`make help` lists every verb of the Makefile, with its text, before anything is installed."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.sources import ROOT

pytestmark = pytest.mark.unit

MAKE: Final = shutil.which("make") or "make"
MAKEFILE: Final = ROOT / "Makefile"
VERBS: Final = " ".join(re.findall(r"^\.PHONY: (.+)$", MAKEFILE.read_text(), re.MULTILINE)).split()


@pytest.fixture(scope="module")
def bare_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bare")
    shutil.copy(MAKEFILE, folder)
    return folder


@pytest.fixture(scope="module")
def listed(bare_folder: Path) -> dict[str, str]:
    """Return every verb that `make help` prints, with its text."""
    output = subprocess.run(
        [MAKE, "help"], cwd=bare_folder, capture_output=True, text=True, check=True
    ).stdout
    return dict(re.findall(r"^make ([\w-]+) +(\S.*)$", output, re.MULTILINE))


class TestMakeHelp:
    def test_lists_every_verb_and_nothing_else(self, listed: dict[str, str]) -> None:
        assert sorted(listed) == sorted(VERBS)

    def test_shows_the_text_beside_the_verb(self, listed: dict[str, str]) -> None:
        assert listed["clean"] == "remove .venv and every cache"

    @pytest.mark.usefixtures("listed")
    def test_sets_nothing_up(self, bare_folder: Path) -> None:
        assert [path.name for path in bare_folder.iterdir()] == ["Makefile"]
