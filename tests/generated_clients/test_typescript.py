"""openapi-typescript makes types from our document, and the strict compiler uses them."""

import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.generated_clients.conftest import DOCUMENT, FOLDER, GENERATORS, NODE

MODULES: Final = GENERATORS / "node_modules"
SECONDS: Final = 240


def run_node(folder: Path, script: str, *arguments: str | Path) -> str:
    """Run a script of an installed package in a folder, and return its output."""
    return subprocess.run(
        [NODE, MODULES / script, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    ).stdout


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what the compiler reports about the programs."""
    folder = tmp_path_factory.mktemp("typescript")
    programs = sorted((FOLDER / "typescript").glob("*.ts"))
    for each in programs:
        (folder / each.name).write_text(each.read_text())
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node_modules").symlink_to(MODULES)
    types = ("--default-non-nullable", "false", "--output", "trainyard.d.ts")
    run_node(folder, "openapi-typescript/bin/cli.js", DOCUMENT, *types)
    options = ("--strict", "--noEmit", "--module", "nodenext", "--target", "es2023")
    return run_node(folder, "typescript/bin/tsc", *options, *(each.name for each in programs))


class TestTypes:
    @pytest.mark.parametrize("program", ["sample.ts", "mistakes.ts"])
    def test_a_program_is_accepted_and_each_marked_mistake_is_refused(
        self, compiled: str, program: str
    ) -> None:
        assert [line for line in compiled.splitlines() if line.startswith(program)] == []

    def test_the_compiler_reports_nothing_else(self, compiled: str) -> None:
        assert compiled == ""
