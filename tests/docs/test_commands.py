"""Every fenced block of README, CONTRIBUTING and docs/ is run, read, or marked with what it needs.

Blocks that need a server are run by tests/e2e/test_readme.py.
"""

import json
import re
import shutil
import subprocess
import tomllib
from collections import Counter
from typing import Any, Final

import pytest
import typer
from pydantic import TypeAdapter
from typer.core import TyperGroup

from app.artifacts.validation import Confusion
from app.core.problems import Problem
from app.datasets.http.overview_views import SamplesView
from app.datasets.http.routes import NewVersionBody
from app.datasets.http.views import DatasetView
from app.datasets.packs.progress import VerificationProgress
from app.datasets.remedies.requests import FindingView
from app.datasets.stored.listing import ListedFile
from app.events.views import EventPage
from app.jobs.http.job_views import JobView
from app.jobs.http.records.file_views import ArtifactView
from app.jobs.http.records.log_routes import LogMatches
from app.jobs.http.records.metric_views import ClassMetricsView, MetricsView
from app.jobs.http.records.validation_views import WorstImageView
from app.jobs.http.schema_views import ParsedView
from app.jobs.plan.views import PlanView
from app.jobs.spec.job_spec import JobSpec
from app.settings import Settings
from tests.architecture.sources import ROOT
from tests.docs.blocks import Block, blocks
from tests.docs.real_names import resolves
from tests.docs.worked_changes import MODULE
from trainyard.command.program import app

pytestmark = pytest.mark.unit

NEEDS: Final = {"server": 27, "internet": 7, "servers": 8, "gpu": 1, "container engine": 1}
"""The number of blocks that are not run here, by what they need."""

SHOWN: Final[dict[str, Any]] = {
    each.__name__: each
    for each in (
        ArtifactView,
        ClassMetricsView,
        Confusion,
        WorstImageView,
        DatasetView,
        EventPage,
        JobSpec,
        JobView,
        ListedFile,
        LogMatches,
        MetricsView,
        FindingView,
        NewVersionBody,
        ParsedView,
        VerificationProgress,
        PlanView,
        Problem,
        SamplesView,
        Settings,
    )
}
SHELL: Final = frozenset({"sh", "bash"})
MOST_LINES: Final = 8
READERS: Final = {"json": json.loads, "toml": tomllib.loads}
BASH: Final = shutil.which("bash") or "bash"
MAKE: Final = shutil.which("make") or "make"
ALL: Final = blocks()
SCRIPTS: Final = [block for block in ALL if block.language in SHELL]
COMMAND: Final = re.compile(r"(?:^|&& )(?:\.venv/bin/)?trainyard ([^#\n]+)", re.MULTILINE)
TARGET: Final = re.compile(r"^make ([\w-]+)", re.MULTILINE)


def bash_reads(script: str) -> bool:
    done = subprocess.run([BASH, "-n"], input=script, text=True, capture_output=True, check=False)
    return done.returncode == 0


def unknown_parts(command: str) -> list[str]:
    """Return the words of a `trainyard` command line that its parser does not know."""
    words = command.split()
    found: Any = typer.main.get_command(app)
    while isinstance(found, TyperGroup) and words and not words[0].startswith("-"):
        name = words.pop(0)
        below: Any = found.get_command(typer.Context(found), name)
        if below is None:
            return [name]
        found = below
    options = {option for parameter in found.params for option in parameter.opts}
    return [word for word in words if word.startswith("--") and word not in options]


class TestBlocks:
    def test_blocks_that_need_more_than_this_machine_are_counted(self) -> None:
        assert Counter(block.needs for block in ALL if block.needs) == NEEDS

    @pytest.mark.parametrize("block", ALL, ids=str)
    def test_each_block_has_a_language_that_is_checked(self, block: Block) -> None:
        # tests/webhooks/test_documented_receiver.py runs the block of python.
        assert block.language in SHELL | READERS.keys() | {"mermaid", "diff", "text", "python"}

    @pytest.mark.parametrize("block", SCRIPTS, ids=str)
    def test_scripts_are_read_by_bash(self, block: Block) -> None:
        assert bash_reads(block.text)

    @pytest.mark.parametrize("block", [it for it in SCRIPTS if "curl" in it.text], ids=str)
    def test_curl_fails_where_the_server_refuses(self, block: Block) -> None:
        # Otherwise it saves the problem as `best.pt` and ends with 0.
        assert re.findall(r"\bcurl (?!-fsS)", block.text) == []

    def test_the_readme_leads_from_a_job_to_its_weights_in_few_lines(self) -> None:
        first_job, download = (
            it.text for it in SCRIPTS if it.document == "README.md" and "$URL/v1/" in it.text
        )

        submit = first_job[first_job.index("JOB=$(") : first_job.index("# 3.")]

        lines = [line for line in (submit + download).splitlines() if line]
        assert lines[-1].endswith('/artifacts/best.pt"')
        assert len(lines) <= MOST_LINES

    @pytest.mark.parametrize("block", [it for it in SCRIPTS if it.needs is None], ids=str)
    def test_scripts_without_a_mark_call_make_or_a_module_of_ours(self, block: Block) -> None:
        others = [line for line in block.text.splitlines() if not TARGET.match(line)]

        modules = [MODULE.fullmatch(line) for line in others]

        assert [line for line, found in zip(others, modules, strict=True) if found is None] == []
        assert [found[1] for found in modules if found and not resolves(found[1])] == []

    @pytest.mark.parametrize("block", [it for it in ALL if it.language in READERS], ids=str)
    def test_documents_say_what_they_show_and_show_it(self, block: Block) -> None:
        shown = READERS[block.language](block.text)

        assert block.shows in SHOWN
        TypeAdapter(SHOWN[block.shows]).validate_python(shown, strict=False)


class TestCommands:
    @pytest.mark.parametrize(
        "target", sorted({t for it in SCRIPTS for t in TARGET.findall(it.text)})
    )
    def test_make_knows_what_to_do(self, target: str) -> None:
        done = subprocess.run(
            [MAKE, "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
        )

        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize(
        "command", sorted({c.strip() for it in SCRIPTS for c in COMMAND.findall(it.text)})
    )
    def test_trainyard_knows_commands_and_options(self, command: str) -> None:
        assert unknown_parts(command) == []

    def test_an_unknown_command_or_option_is_seen(self) -> None:
        assert unknown_parts("levitate") == ["levitate"]
        assert unknown_parts("up --sideways") == ["--sideways"]

    def test_a_broken_script_is_seen(self) -> None:
        assert not bash_reads("if true; then")
