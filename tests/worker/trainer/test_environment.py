import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.worker.trainer.watching import watched_environment, what_was_seen
from worker.trainer.environment import INHERITED, trainer_environment, ultralytics_settings


class TestTrainerEnvironment:
    def test_the_environment_of_a_trainer_is_a_short_list_without_secrets(
        self, tmp_path: Path
    ) -> None:
        base = {
            "PATH": "/bin",
            "HOME": "/home/someone",
            "TRAINYARD_DATABASE_URL": "postgresql://user:secret@host/db",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "ULTRALYTICS_API_KEY": "secret",
            "PYTHONDONTWRITEBYTECODE": "1",
            "LD_LIBRARY_PATH": "/cuda",
        }

        environment = trainer_environment(tmp_path, gpu=None, base=base)

        from_base = {name for name in base if environment.get(name) == base[name]}
        assert from_base == {"PATH", "LD_LIBRARY_PATH"}
        assert not any("secret" in value for value in environment.values())
        assert "HOME" not in INHERITED

    @pytest.mark.parametrize(
        ("of_the_worker", "of_the_trainer"),
        [("/plugins", "/plugins"), ("/a:.:b::/c", "/a:/c"), ("here", None), ("", None)],
    )
    def test_modules_come_from_where_the_worker_has_them_but_never_from_the_run_directory(
        self, of_the_worker: str, of_the_trainer: str | None, tmp_path: Path
    ) -> None:
        base = {"PYTHONPATH": of_the_worker}

        environment = trainer_environment(tmp_path, gpu=None, base=base)

        assert environment.get("PYTHONPATH") == of_the_trainer

    @pytest.mark.parametrize(("gpu", "visible"), [(None, ""), ("0", "0"), ("3", "3")])
    def test_the_environment_of_a_trainer_shows_the_gpus_of_the_slot_and_no_other(
        self, gpu: str | None, visible: str, tmp_path: Path
    ) -> None:
        environment = trainer_environment(tmp_path, gpu=gpu, base={"CUDA_VISIBLE_DEVICES": "0,1"})

        assert environment["CUDA_VISIBLE_DEVICES"] == visible
        assert environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"  # slots use the driver's order

    def test_unix_sockets_of_a_deep_job_directory_are_short_enough(self, tmp_path: Path) -> None:
        deep = tmp_path / ("d" * 80)

        environment = trainer_environment(deep, gpu=None, base={})

        assert len(environment["TMPDIR"]) <= 70

    def test_temporary_files_of_a_trainer_are_in_the_job_directory(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            environment = trainer_environment(Path(directory), gpu=None, base={})

        assert environment["TMPDIR"] == directory

    def test_the_environment_of_a_trainer_can_be_made_again_for_the_same_directory(
        self, tmp_path: Path
    ) -> None:
        first = trainer_environment(tmp_path, gpu=None, base={})

        assert trainer_environment(tmp_path, gpu=None, base={}) == first


class TestUltralyticsUnderIt:
    """The installed Ultralytics takes our settings unchanged, and stays offline."""

    PROGRAM = """
import json
from ultralytics.utils import ONLINE, SETTINGS, USER_CONFIG_DIR
from ultralytics.utils.checks import check_font
fonts = [str(check_font(name)) for name in ("Arial.ttf", "Arial.Unicode.ttf")]
print(json.dumps({"online": ONLINE, "defaults": SETTINGS.defaults, "fonts": fonts}))
"""

    def test_ultralytics_reads_settings_and_fonts_without_changing_or_fetching_any(
        self, tmp_path: Path
    ) -> None:
        environment = trainer_environment(tmp_path, gpu=None, base=os.environ)
        settings = tmp_path / "config" / "Ultralytics" / "settings.json"
        before = settings.read_bytes()

        said = self.say(environment | watched_environment(tmp_path), tmp_path)

        ours = ultralytics_settings(tmp_path)
        assert {name: type(value) for name, value in ours.items()} == {
            name: type(value) for name, value in said["defaults"].items()
        }
        assert ours["settings_version"] == said["defaults"]["settings_version"]
        assert settings.read_bytes() == before
        assert [Path(font).parent for font in said["fonts"]] == [settings.parent] * 2
        assert said["online"] is False
        assert what_was_seen(tmp_path) == []

    def say(self, environment: dict[str, str], cwd: Path) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-c", self.PROGRAM],
            env=environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            check=True,
        )
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer


class TestWatcher:
    def test_the_watcher_sees_a_connection_and_a_lookup(self, tmp_path: Path) -> None:
        program = (
            "import socket\n"
            "try: socket.create_connection(('127.0.0.1', 9), 1)\n"
            "except OSError: pass\n"
            "import mlflow"
        )

        subprocess.run(
            [sys.executable, "-c", program],
            env=watched_environment(tmp_path),
            check=True,
        )

        kinds = [line.split()[0] for line in what_was_seen(tmp_path)]
        assert kinds == ["lookup", "connect", "import"]
