"""Run each image's install lines in a fresh virtual environment, and then its entrypoint.

The RUN lines come from the Dockerfiles; only the path of the image's installation is replaced, and
uv may use this machine's cache. These tests are `slow`: an environment with torch takes minutes.
"""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT
from tests.containers.dockerfile import Dockerfile
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(1800)]

INSTALL_SECONDS = 1500
START_SECONDS = 60
STOP_SECONDS = 60


@dataclass(frozen=True)
class HandMadeImage:
    """The result of a Dockerfile without an engine: its environment and the container's command."""

    dockerfile: Dockerfile
    python_home: Path
    home: Path

    def arguments(self) -> list[str]:
        program, *rest = self.dockerfile.command()
        return [str(self.python_home / "bin" / program), *rest]

    def installed(self) -> set[str]:
        """Return the names of the environment's packages, from `pip list`, in lower case."""
        listing = subprocess.run(
            [self.python_home / "bin/python", "-m", "pip", "list", "--format", "freeze"],
            capture_output=True,
            text=True,
            check=True,
        )
        return {line.partition("==")[0].lower() for line in listing.stdout.splitlines()}


def make_by_hand(name: str, directory: Path) -> HandMadeImage:
    """Run the build stage of `docker/<name>.Dockerfile` below `directory`."""
    dockerfile = Dockerfile.read(ROOT / f"docker/{name}.Dockerfile")
    stage = dockerfile.stages()[0]
    image = HandMadeImage(dockerfile, directory / "trainyard", directory / "home")
    source, tools = directory / "src", directory / "tools"
    source.mkdir()
    image.home.mkdir()
    subprocess.run([sys.executable, "-m", "venv", tools], check=True)
    environment = os.environ | {"PATH": f"{tools}/bin:{os.environ['PATH']}"}
    environment |= dict(pair.split("=", 1) for line in stage.all("ENV") for pair in line.split())
    for instruction in stage.instructions:
        if instruction.keyword == "COPY":
            copy_into(source, instruction.rest)
        elif instruction.keyword == "RUN":
            run_line(instruction.rest, image.python_home, source, environment)
    return image


def copy_into(source: Path, rest: str) -> None:
    """Run COPY from the repository: files into the target directory, a folder as the target."""
    *names, target = shlex.split(rest)
    for name in names:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / target, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, source / target)


def run_line(line: str, python_home: Path, source: Path, environment: dict[str, str]) -> None:
    """Run a RUN line with a test directory for `/opt/trainyard` and this machine's cache."""
    line = line.replace("/opt/trainyard", str(python_home)).replace(" --no-cache ", " ")
    subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", line],
        cwd=source,
        env=environment,
        check=True,
        timeout=INSTALL_SECONDS,
    )


def log_of(home: Path) -> Path:
    """Return where a command in `home` prints to: beside it, because a new home is empty."""
    return home.with_name("output.log")


@contextmanager
def running(
    arguments: list[str], home: Path, settings: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command in `home` with PATH, the home and these settings; kill it if it stays."""
    environment = {"PATH": os.environ["PATH"], "TRAINYARD_HOME": str(home)} | settings
    with log_of(home).open("wb") as log:
        process = subprocess.Popen(
            arguments, cwd=home, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def server_image(tmp_path_factory: pytest.TempPathFactory) -> HandMadeImage:
    return make_by_hand("server", tmp_path_factory.mktemp("server-image"))


@pytest.fixture(scope="module")
def worker_image(tmp_path_factory: pytest.TempPathFactory) -> HandMadeImage:
    return make_by_hand("worker", tmp_path_factory.mktemp("worker-image"))


class TestServerImage:
    def test_the_server_image_has_no_torch(self, server_image: HandMadeImage) -> None:
        assert {"torch", "ultralytics-opencv-headless"} & server_image.installed() == set()

    def test_the_server_image_migrates_serves_and_stops_on_sigterm(
        self, server_image: HandMadeImage
    ) -> None:
        port = free_port()
        settings = {"TRAINYARD_PORT": str(port)}
        migrate = [server_image.arguments()[0], "migrate"]

        with running(migrate, server_image.home, settings) as migration:
            status = migration.wait(START_SECONDS)
            assert status == 0, log_of(server_image.home).read_text()
        with running(server_image.arguments(), server_image.home, settings) as server:
            eventually(
                lambda: answers(f"http://127.0.0.1:{port}/livez"),
                within=START_SECONDS,
                message=log_of(server_image.home).read_text,
            )
            server.send_signal(signal.SIGTERM)

            assert server.wait(STOP_SECONDS) in {0, -signal.SIGTERM}


class TestWorkerImage:
    def test_torch_and_torchvision_fit_together(self, worker_image: HandMadeImage) -> None:
        program = "import torchvision, torch; print(torch.zeros(2).sum().item())"

        printed = subprocess.run(
            [worker_image.python_home / "bin/python", "-c", program],
            capture_output=True,
            text=True,
            check=True,
        )

        assert printed.stdout == "0.0\n"

    def test_the_command_of_the_worker_image_exists(self, worker_image: HandMadeImage) -> None:
        program, command, *_ = worker_image.arguments()

        subprocess.run([program, command, "--help"], check=True, capture_output=True)
