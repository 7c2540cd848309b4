"""No text of ours tells anybody to install the package `trainyard` of the public index.

It is another author's. Ours are `trainyard-client` and `trainyard-server`, from a checkout.
"""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.sources import ROOT

pytestmark = pytest.mark.unit

WRONG: Final = re.compile(r"pip3? +(?:install|download)\b[^\n`]*?[ '\"]trainyard(?![\w/.-])")
GOOD: Final = (
    "pip install --no-deps dist/trainyard_client-0.1.0-py3-none-any.whl",
    "uv pip install --python /opt/trainyard/bin/python ./sdk .",
    "pip uninstall trainyard",
)
BAD: Final = (
    "pip install trainyard",
    "pip install 'trainyard[worker]'",
    "uv pip install -U trainyard==0.1",
    "pip download trainyard",
)
FILES: Final = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "Makefile")
FOLDERS: Final = ("app", "docker", "docs", "examples", "sdk", "worker")
TEXTS: Final = {".md", ".py", ".toml", ".yml", ".Dockerfile", ".service", ".html", ""}


def wrong_lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if WRONG.search(line)]


def our_files() -> list[Path]:
    below = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
    paths = [*(ROOT / name for name in FILES), *below]
    return [it for it in paths if it.suffix in TEXTS and it.is_file()]


class TestInstallTexts:
    def test_no_text_installs_the_package_of_another_author(self) -> None:
        found = {
            str(path.relative_to(ROOT)): lines
            for path in our_files()
            if (lines := wrong_lines(path.read_text(errors="replace")))
        }

        assert found == {}

    @pytest.mark.parametrize("text", BAD)
    def test_such_a_text_is_seen(self, text: str) -> None:
        assert wrong_lines(f"Run `{text}` first.") != []

    @pytest.mark.parametrize("text", GOOD)
    def test_other_texts_are_not(self, text: str) -> None:
        assert wrong_lines(f"Run `{text}` first.") == []
