"""The pipelines in `examples/ci` use real verbs, and fail if the model is not good enough."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any, Final, NamedTuple

import pytest
import yaml
from typer.main import get_command

from tests.examples.scripts import EXAMPLES, drawn_shapes
from tests.worlds.server import COMMAND, Api, Server, trainyard_up
from trainyard import Client
from trainyard.command.program import app
from trainyard.command.training import Wanted
from trainyard.command.words import Words

FOLDER: Final = EXAMPLES / "ci"
METRIC: Final = "metrics/mAP50(B)"
SECONDS: Final = 600


class Pipeline(NamedTuple):
    """What a pipeline runs, and the variables that it sets itself."""

    script: str
    variables: dict[str, str]


def pipeline(name: str) -> Pipeline:
    """Return the lines of a pipeline that use the command `trainyard`."""
    job: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yml").read_text())
    if name == "gitlab":
        return Pipeline("\n".join(job["train"]["script"]), job["train"]["variables"])
    job = job["jobs"]["train"]
    runs = [step["run"] for step in job["steps"] if "trainyard " in step.get("run", "")]
    return Pipeline("\n".join(runs), {k: v for k, v in job["env"].items() if "$" not in v})


def commands(name: str) -> Iterator[list[str]]:
    """Yield the words after `trainyard` in each command of a pipeline."""
    script, variables = pipeline(name)
    for found in re.findall(r"(?:^|\()trainyard ([^|)\n]*)", script, re.MULTILINE):
        yield shlex.split(Template(found).safe_substitute(variables))


@pytest.fixture(params=["github", "gitlab"])
def name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def gated(bound: str, epochs: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, FOLDER / "gate.py", METRIC, bound],
        input=epochs,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.unit
class TestGate:
    @pytest.mark.parametrize(("bound", "status"), [("0.4", 0), ("0.5", 0), ("0.51", 1)])
    def test_the_best_epoch_is_compared_with_the_bound(self, bound: str, status: int) -> None:
        epochs = f"epoch,seconds,{METRIC}\n1,1.0,0.5\n2,1.0,0.25\n3,1.0,\n"

        assert gated(bound, epochs).returncode == status

    @pytest.mark.parametrize("epochs", ["", f"epoch,seconds,{METRIC}\n"])
    def test_a_job_without_an_epoch_does_not_pass(self, epochs: str) -> None:
        finished = gated("0", epochs)

        assert finished.returncode == 1
        assert finished.stderr == f"No epoch has a value of {METRIC}.\n"


@pytest.mark.integration
class TestPipelines:
    def test_every_command_is_a_verb_with_options_that_it_has(self, name: str) -> None:
        root: Any = get_command(app)
        context = root.make_context("trainyard", ["jobs"])

        verbs = []
        for words in commands(name):
            verb, command, rest = root.resolve_command(context, words)
            command.make_context(verb, rest, parent=context)
            verbs.append(verb)

        assert {"train", "submit"} & set(verbs)
        assert "metrics" in verbs

    def test_the_server_finds_the_training_valid(self, name: str, client: Client, api: Api) -> None:
        (words,) = (each[1:] for each in commands(name) if each[0] in {"train", "submit"})

        wanted = Wanted.of(client, Words.of(words), None)

        spec = {**wanted.spec, "dataset": api.rows.dataset_id, "model": wanted.model}
        answer = api.client.post("/v1/jobs/validate", json=spec)
        assert answer.status_code == 200, answer.text
        assert spec["customize"]["best_model"] == {"metric": METRIC}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with trainyard_up(tmp_path_factory.mktemp("ci") / "home") as server:
        yield server


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(SECONDS * 2)
@pytest.mark.parametrize(("bound", "passes"), [("0", True), ("1.1", False)])
def test_a_pipeline_trains_and_passes_or_fails_by_the_bound(
    server: Server, tmp_path: Path, name: str, bound: str, *, passes: bool
) -> None:
    (tmp_path / "ci").mkdir()
    shutil.copy(FOLDER / "gate.py", tmp_path / "ci")
    script, variables = pipeline(name)
    changed = {"DATA": drawn_shapes(tmp_path).name, "EPOCHS": "1", "IMGSZ": "64", "BOUND": bound}
    access = {"TRAINYARD_URL": server.url, "TRAINYARD_API_KEY": server.key}
    path = {"PATH": f"{COMMAND.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}

    done = subprocess.run(
        ["bash", "-e", "-c", script],  # noqa: S607 -- the shell of both
        cwd=tmp_path,
        env={**variables, **changed, **access, **path, "CI_COMMIT_SHORT_SHA": f"{name}{passes}"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert (done.returncode == 0) is passes, done.stderr
    assert ("at least the bound" in done.stdout) is passes
    assert list(tmp_path.rglob("best.pt"))
