"""Help is quick: it imports the tables of verbs, and nothing else of ours."""

import json
import subprocess
import sys
from typing import Final

import pytest
import typer

from tests.command.listing import commands
from tests.command.typed import Person
from trainyard.command.program import app
from trainyard.command.tables import tables

pytestmark = pytest.mark.integration

LOADED: Final = """
import json, sys
from trainyard.command import main
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted(sys.modules)))
"""
OURS: Final = {
    "app",
    "app.verbs",
    "trainyard",
    "trainyard.command",
    "trainyard.command.program",
    "trainyard.command.tables",
    "trainyard.version",
}
HEAVY: Final = {"httpx2", "pydantic", "rich", "importlib.metadata", "platformdirs", "fastapi"}
MORE: Final = 5
ALL: Final = {name: verb for table in tables().values() for name, verb in table.items()}


def loaded_by(*words: str) -> set[str]:
    """Return the modules that are loaded when a command has ended."""
    finished = subprocess.run(
        [sys.executable, "-c", LOADED, *words], capture_output=True, text=True, check=True
    )
    return set(json.loads(finished.stdout.splitlines()[-1]))


class TestCost:
    def test_help_imports_the_tables_of_verbs_and_nothing_else_of_ours(self) -> None:
        loaded = loaded_by("--help")

        ours = {name for name in loaded if name.partition(".")[0] in {"app", "trainyard", "worker"}}
        assert ours == OURS
        assert loaded & HEAVY == set()

    def test_help_loads_hardly_more_than_typer_and_ours(self) -> None:
        program = "import json, sys, typer; print(json.dumps(list(sys.modules)))"
        typers = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )

        assert len(loaded_by("--help") - set(json.loads(typers.stdout)) - OURS) <= MORE

    def test_the_count_sees_a_verb_that_runs(self) -> None:
        assert "httpx2" in loaded_by("jobs", "--help")


class TestTexts:
    def test_every_verb_is_where_its_table_says_and_has_a_text(self) -> None:
        found = commands(typer.main.get_command(app))

        assert {path[0] for path in found} == ALL.keys()
        assert [path for path, command in found.items() if not command.help] == []

    def test_help_names_the_verbs_of_client_and_server(self, nobody: Person) -> None:
        printed = nobody.types("--help").stdout

        assert [name for name in ALL if f"  {name} " not in printed] == []
        assert printed.index("\nCommands:") < printed.index("\nCommands of the server:")

    def test_every_verb_of_the_client_prints_json(self) -> None:
        every = commands(typer.main.get_command(app))
        client = tables()["client"]

        without = [
            " ".join(path)
            for path, command in every.items()
            if path[0] in client
            and command.callback.__module__.startswith("trainyard.")
            and "--json" not in {option for it in command.params for option in it.opts}
        ]
        assert without == []

    def test_an_unknown_verb_is_answered_with_the_nearest(self, nobody: Person) -> None:
        finished = nobody.types("trian")

        assert finished.returncode == 2
        assert "'train'" in finished.stderr

    def test_the_completion_of_shells_knows_the_verbs(self, nobody: Person) -> None:
        nobody.environment |= {
            "_TRAINYARD_COMPLETE": "complete_bash",
            "_TYPER_COMPLETE_ARGS": "trainyard da",
            "COMP_WORDS": "trainyard da",
            "COMP_CWORD": "1",
        }

        assert nobody.types().stdout.split() == ["datasets"]
