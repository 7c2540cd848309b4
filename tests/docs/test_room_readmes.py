"""The larger rooms have a README of one screen that names real things."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.sources import ROOT
from tests.docs.blocks import room_readmes
from tests.docs.real_names import CODE, FOLDERS

pytestmark = pytest.mark.unit

MAX_LINES: Final = 30
ROOMS: Final = ("app/datasets", "app/jobs", "app/stream", "worker/attempt", "worker/trainer")
BELOW: Final = re.compile(r"(?:\w+/)*(?:\w+\.py|\w+/)")
PARTS: Final = ("Read in this order.", "Rules.", "To add something.", "Tests that guard it.")


def missing_below(room: Path, text: str) -> list[str]:
    """Return the files and folders that the text names as parts of the room but do not exist."""
    named = {name for name in CODE.findall(text) if BELOW.fullmatch(name)}
    inside = {name for name in named if name.split("/")[0] not in FOLDERS}
    return sorted(name for name in inside if not (room / name).exists())


class TestRoomReadmes:
    def test_every_larger_room_has_a_readme(self) -> None:
        assert [readme.parent for readme in room_readmes()] == [ROOT / room for room in ROOMS]

    @pytest.mark.parametrize("room", ROOMS)
    def test_a_readme_fits_on_a_screen(self, room: str) -> None:
        assert len((ROOT / room / "README.md").read_text().splitlines()) <= MAX_LINES

    @pytest.mark.parametrize("room", ROOMS)
    def test_a_readme_has_every_part(self, room: str) -> None:
        text = (ROOT / room / "README.md").read_text()

        assert [part for part in PARTS if f"**{part}**" not in text] == []

    @pytest.mark.parametrize("room", ROOMS)
    def test_a_readme_names_files_that_its_room_has(self, room: str) -> None:
        assert missing_below(ROOT / room, (ROOT / room / "README.md").read_text()) == []

    def test_the_check_of_readmes_finds_a_missing_file(self) -> None:
        assert missing_below(ROOT / "app/jobs", "`no_such.py`, `life/claim.py`") == ["no_such.py"]
