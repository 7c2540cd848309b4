"""The wheel works: it is built, installed into a fresh environment and used outside the tree."""

import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import venv
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from app.core.migrations import head_revision
from tests.architecture.sources import ROOT

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; its dependencies come from this environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    install = [uv, "--no-config", "pip", "install", "--quiet", "--offline", "--no-deps", "--python"]
    subprocess.run([*install, folder / "bin" / "python", wheel], check=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    # Python ignores .pth files in a folder that a .pth file adds: this checkout is not importable.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


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


class TestInstalled:
    def test_an_installed_trainyard_migrates_from_an_empty_directory(
        self, installed: Path, tmp_path: Path
    ) -> None:
        home, empty = tmp_path / "home", tmp_path / "empty"
        empty.mkdir()

        finished = subprocess.run(
            [installed / "bin" / "trainyard", "migrate", "--home", home],
            cwd=empty,
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )

        assert finished.returncode == 0, finished.stderr
        with closing(sqlite3.connect(home / "trainyard.db")) as database:
            versions = database.execute("SELECT version_num FROM alembic_version").fetchall()
        assert versions == [(head_revision(),)]
        assert list(empty.iterdir()) == []

    def test_the_code_is_that_of_the_wheel(self, installed: Path, tmp_path: Path) -> None:
        finished = subprocess.run(
            [installed / "bin" / "python", "-c", "import app, worker; print(app.__file__)"],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )

        assert Path(finished.stdout.strip()).is_relative_to(installed)
