"""openapi-python-client makes a client from our document, and a whole job runs with it."""

import hashlib
import importlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from app.jobs.spec.train_arguments import TrainArguments
from tests.datasets.builders import a_detect_zip
from tests.generated_clients.conftest import DOCUMENT, GENERATORS
from tests.waiting import eventually
from tests.worlds.server import ENDED, TINY, Server, trainyard_up

CONFIGURATION: Final = DOCUMENT.with_name("openapi-python-client.yaml")
PACKAGE: Final = "trainyard_generated"
SECONDS: Final = 240
DATASET_SECONDS: Final = 60
JOB_SECONDS: Final = 180

Made: TypeAlias = Any
"""Something of the generated package, which has no types before it is made."""


@dataclass(frozen=True)
class Generated:
    """The generated package, and what the generator printed."""

    folder: Path
    output: str

    def function(self, name: str) -> Made:
        """Return the module of an operation."""
        [path] = self.folder.glob(f"api/*/{name}.py")
        return importlib.import_module(f"{PACKAGE}.api.{path.parent.name}.{name}")

    @property
    def models(self) -> Made:
        return importlib.import_module(f"{PACKAGE}.models")

    @property
    def types(self) -> Made:
        return importlib.import_module(f"{PACKAGE}.types")

    def connected_to(self, server: Server) -> Made:
        """Return a client of the server, with its first key."""
        package = importlib.import_module(PACKAGE)
        return package.AuthenticatedClient(
            base_url=server.url, token=server.key, timeout=60, raise_on_unexpected_status=True
        )


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generated]:
    folder = tmp_path_factory.mktemp("python")
    commands = GENERATORS / "bin"
    options: list[str | Path] = [
        "--path",
        DOCUMENT,
        "--config",
        CONFIGURATION,
        "--meta",
        "none",
        "--output-path",
    ]
    done = subprocess.run(
        [commands / "openapi-python-client", "generate", *options, folder / PACKAGE],
        env={**os.environ, "PATH": f"{commands}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield Generated(folder / PACKAGE, done.stdout)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with trainyard_up(tmp_path_factory.mktemp("up") / "home") as server:
        yield server


@pytest.fixture(scope="module")
def client(generated: Generated, server: Server) -> Iterator[Made]:
    with generated.connected_to(server) as client:
        yield client


@pytest.fixture(scope="module")
def dataset(generated: Generated, client: Made, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Upload shapes; return the id when jobs can train on them."""
    archive = a_detect_zip(tmp_path_factory.mktemp("archive") / "shapes.zip", train=18, val=8)
    with archive.open("rb") as opened:
        sent = generated.function("upload_dataset").sync(
            client=client, body=generated.types.File(payload=opened), name="shapes"
        )
    read = generated.function("read_dataset").sync
    eventually(lambda: read(sent.id, client=client).state == "ready", within=DATASET_SECONDS)
    dataset_id: str = sent.id
    return dataset_id


@pytest.fixture
def waiting(generated: Generated, client: Made, dataset: str) -> Made:
    """Submit a job to a queue that no slot serves."""
    models = generated.models
    spec = models.JobSpec(
        dataset=dataset,
        model="yolo26n.yaml",
        notes="precious",
        priority=7,
        resources=models.Resources(queue="unserved"),
    )
    return generated.function("submit_job").sync(client=client, body=spec)


@pytest.fixture(scope="module")
def finished(generated: Generated, client: Made, dataset: str) -> Made:
    """Submit a job with customizations and a tag, and return its status when it has ended."""
    models = generated.models
    spec = models.JobSpec(
        dataset=dataset,
        model="yolo26n.yaml",
        train=models.TrainArguments(**TINY | {"epochs": 1}),
        customize=models.Customize(
            metrics=models.MetricsChoice(f1=True),
            freeze=models.Freeze(layers="backbone", epochs=1),
            class_weights=models.InverseFrequencyClassWeights(mode="inverse_frequency"),
        ),
        tags=models.JobSpecTags.from_dict({"line": "4"}),
    )
    submitted = generated.function("submit_job").sync(client=client, body=spec)
    assert isinstance(submitted, models.JobView), submitted

    def status() -> Made:
        read = generated.function("read_job").sync
        return read(submitted.id, client=client, wait=20, until="ended")

    eventually(lambda: status().state in ENDED, within=JOB_SECONDS)
    assert status().state == "succeeded", status().error
    return status()


class TestGeneration:
    def test_each_operation_becomes_a_function(self, generated: Generated) -> None:
        paths = json.loads(DOCUMENT.read_text())["paths"]
        operations = {
            operation["operationId"] for path in paths.values() for operation in path.values()
        }

        functions = {name for name in operations if generated.function(name).sync_detailed}

        assert len(functions) > 100

    def test_only_the_body_of_text_is_left_out_which_can_be_sent_as_bytes(
        self, generated: Generated
    ) -> None:
        warnings = re.findall(r"^WARNING (.*)$|^(Unable .*)$", generated.output, re.MULTILINE)

        assert warnings == [("parsing POST /v1/jobs/parse within jobs.", "")]
        assert "Unsupported content type text/plain" in generated.output

    def test_each_example_of_the_document_is_read(self, generated: Generated) -> None:
        examples = json.loads(DOCUMENT.read_text())["components"]["examples"]

        read = {
            name: getattr(generated.models, name).from_dict(example["value"]).to_dict()
            for name, example in examples.items()
        }

        assert {
            name for name in read if read[name].keys() != examples[name]["value"].keys()
        } == set()

    def test_every_argument_of_a_stored_spec_is_read(self, generated: Generated) -> None:
        arguments = TrainArguments().model_dump(mode="json")

        read = generated.models.StoredTrainArguments.from_dict(arguments)

        assert read.to_dict() == arguments


class TestWaitingJob:
    def test_a_change_of_the_name_keeps_notes_and_priority(
        self, generated: Generated, client: Made, waiting: Made
    ) -> None:
        change = generated.models.JobChange(name="renamed")

        changed = generated.function("change_job").sync(waiting.id, client=client, body=change)

        assert (changed.name, changed.notes, changed.priority) == ("renamed", "precious", 7)

    def test_jobs_are_listed_by_state(
        self, generated: Generated, client: Made, waiting: Made
    ) -> None:
        listed = generated.function("list_jobs").sync(client=client, state=["queued"])

        assert waiting.id in {row.id for row in listed.data}
        assert {row.state for row in listed.data} == {"queued"}

    def test_a_refusal_is_a_problem_that_names_the_field(
        self, generated: Generated, client: Made, dataset: str
    ) -> None:
        spec = generated.models.JobSpec(dataset=dataset, model="yolo26n.yaml", priority=1000)

        refused = generated.function("submit_job").sync(client=client, body=spec)

        assert isinstance(refused, generated.models.Problem)
        assert [each.pointer for each in refused.errors] == ["/priority"]


class TestWords:
    def test_a_command_of_ultralytics_is_translated(
        self, generated: Generated, client: Made, tmp_path: Path
    ) -> None:
        (tmp_path / "command").write_text("yolo train model=yolo26n.pt epochs=7")

        with (tmp_path / "command").open("rb") as text:
            parsed = generated.function("parse_job").sync(
                client=client, body=generated.types.File(payload=text)
            )

        assert parsed.spec.additional_properties["train"] == {"epochs": 7}


class TestFinishedJob:
    def test_the_status_of_a_job_has_the_tags_and_customizations_as_submitted(
        self, finished: Made
    ) -> None:
        assert finished.spec.tags.additional_properties == {"line": "4"}
        assert finished.spec.customize.freeze.layers == "backbone"
        assert finished.spec.customize.class_weights.mode == "inverse_frequency"

    def test_the_metrics_of_a_job_have_a_value_for_each_epoch(
        self, generated: Generated, client: Made, finished: Made
    ) -> None:
        metrics = generated.function("read_metrics").sync(finished.id, client=client)

        assert metrics.epochs == [1]
        assert len(metrics.series["metrics/F1(B)"]) == 1

    def test_the_log_of_a_job_is_text(
        self, generated: Generated, client: Made, finished: Made
    ) -> None:
        log = generated.function("read_log").sync(finished.id, client=client)

        assert isinstance(log, str)
        assert "box_loss" in log

    def test_downloaded_weights_are_the_bytes_of_the_artifact(
        self, generated: Generated, client: Made, finished: Made
    ) -> None:
        listed = generated.function("list_artifacts").sync(finished.id, client=client)
        [best] = [each for each in listed.data if each.name == "best.pt"]

        answer = generated.function("download_artifact").sync_detailed(
            finished.id, "best.pt", client=client
        )

        assert hashlib.sha256(answer.content).hexdigest() == best.sha256
