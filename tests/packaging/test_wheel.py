"""The wheels work: built, installed into a fresh environment, and used outside the tree."""

import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Mapping
from configparser import ConfigParser
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.core.migrations import head_revision
from tests.architecture.sources import ROOT
from trainyard.version import VERSION

pytestmark = pytest.mark.integration

USAGE = 2


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both wheels, built as `make wheels` builds them."""
    folder = tmp_path_factory.mktemp("wheels")
    return {
        "server": built(ROOT, folder / "server"),
        "client": built(ROOT / "sdk", folder / "client"),
    }


def built(project: Path, folder: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=project,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(wheels: Mapping[str, Path]) -> Path:
    return wheels["server"]


@dataclass(frozen=True)
class Environment:
    """A fresh environment; the dependencies of our wheels come from this environment."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, *wheels: Path) -> "Environment":
        venv.create(folder, with_pip=False)
        made = cls(folder)
        made.uv("install", "--offline", "--no-deps", *wheels)
        (site_packages,) = folder.glob("lib/python*/site-packages")
        for path in Path(sysconfig.get_path("purelib")).iterdir():
            target = site_packages / path.name
            is_ours = path.name.startswith(("trainyard", "_editable_impl_trainyard"))
            if not is_ours and not target.exists():
                target.symlink_to(path)
        return made

    def uv(self, verb: str, *words: str | Path) -> None:
        program = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
        command: list[str | Path] = [
            program,
            "--no-config",
            "pip",
            verb,
            "--quiet",
            "--python",
            self.python,
        ]
        subprocess.run([*command, *words], check=True)

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def run(self, *words: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.folder / "bin" / words[0], *words[1:]],
            cwd=cwd,
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(wheels: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment.make(tmp_path_factory.mktemp("environment"), *wheels.values())


class TestContents:
    def test_migrations_lie_inside_the_package_and_shadow_no_library(self, wheel: Path) -> None:
        names = zipfile.ZipFile(wheel).namelist()

        migrations = {name for name in names if name.startswith("app/_alembic/")}
        assert {"app/_alembic/env.py", "app/_alembic/script.py.mako"} <= migrations
        assert any(name.startswith("app/_alembic/versions/0001_") for name in migrations)
        assert not any("__pycache__" in name for name in names)

    def test_the_layer_tables_lie_beside_their_module(self, wheel: Path) -> None:
        names = zipfile.ZipFile(wheel).namelist()

        assert {"app/models/layer_tables.py", "app/models/layer_tables.json"} <= set(names)

    def test_texts_for_those_who_change_the_code_stay_out(self, wheel: Path) -> None:
        names = zipfile.ZipFile(wheel).namelist()

        assert [name for name in names if name.endswith(".md")] == []

    def test_only_our_packages_are_installed_beside_others(self, wheel: Path) -> None:
        top = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}

        assert {name for name in top if not name.endswith(".dist-info")} == {"app", "worker"}


class TestClientWheel:
    def test_the_client_brings_one_package_and_says_that_it_is_typed(
        self, wheels: Mapping[str, Path]
    ) -> None:
        names = zipfile.ZipFile(wheels["client"]).namelist()

        top = {name.partition("/")[0] for name in names}
        assert {name for name in top if not name.endswith(".dist-info")} == {"trainyard"}
        assert "trainyard/py.typed" in names

    def test_the_client_alone_owns_the_command(self, wheels: Mapping[str, Path]) -> None:
        scripts = {name: entry_points(wheel) for name, wheel in wheels.items()}

        assert scripts["client"] == {"console_scripts": {"trainyard": "trainyard.command:main"}}
        assert scripts["server"] == {"trainyard.commands": {"server": "app.verbs:VERBS"}}

    def test_both_have_one_version_and_the_server_needs_this_client(self) -> None:
        server = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

        assert server["version"] == VERSION
        assert f"trainyard-client=={VERSION}" in server["dependencies"]


def entry_points(wheel: Path) -> dict[str, dict[str, str]]:
    parser = ConfigParser()
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [it for it in archive.namelist() if it.endswith(".dist-info/entry_points.txt")]
        parser.read_string(archive.read(name).decode())
    return {section: dict(parser[section]) for section in parser.sections()}


class TestInstalled:
    def test_an_installed_trainyard_migrates_from_an_empty_directory(
        self, installed: Environment, tmp_path: Path
    ) -> None:
        home, empty = tmp_path / "home", tmp_path / "empty"
        empty.mkdir()

        finished = installed.run("trainyard", "migrate", "--home", home, cwd=empty)

        assert finished.returncode == 0, finished.stderr
        with closing(sqlite3.connect(home / "trainyard.db")) as database:
            versions = database.execute("SELECT version_num FROM alembic_version").fetchall()
        assert versions == [(head_revision(),)]
        assert list(empty.iterdir()) == []

    def test_the_code_is_that_of_the_wheels(self, installed: Environment, tmp_path: Path) -> None:
        program = "import app, trainyard, worker; print(app.__file__); print(trainyard.__file__)"

        finished = installed.run("python", "-c", program, cwd=tmp_path)

        places = [Path(line) for line in finished.stdout.split()]
        assert [it.is_relative_to(installed.folder) for it in places] == [True, True]


class TestOneOfThem:
    """Each distribution can leave without harm to the other."""

    def test_without_the_server_the_command_has_the_verbs_of_the_client(
        self, wheels: Mapping[str, Path], tmp_path: Path
    ) -> None:
        environment = Environment.make(tmp_path / "environment", *wheels.values())
        before = environment.run("trainyard", "--help", cwd=tmp_path).stdout

        environment.uv("uninstall", "trainyard-server")

        after = environment.run("trainyard", "--help", cwd=tmp_path)
        assert "Commands of the server" in before
        assert after.returncode == 0, after.stderr
        assert "Commands of the server" not in after.stdout
        assert "train" in after.stdout
        assert environment.run("trainyard", "migrate", cwd=tmp_path).returncode == USAGE

    def test_without_the_client_the_server_runs_as_a_module(
        self, wheels: Mapping[str, Path], tmp_path: Path
    ) -> None:
        environment = Environment.make(tmp_path / "environment", *wheels.values())

        environment.uv("uninstall", "trainyard-client")

        home = tmp_path / "home"
        finished = environment.run(
            "python", "-m", "app.cli", "migrate", "--home", home, cwd=tmp_path
        )
        assert finished.returncode == 0, finished.stderr
        assert not (environment.folder / "bin" / "trainyard").exists()
