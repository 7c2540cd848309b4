"""Detection of the trainer plugins that are installed in a worker's environment."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.jobs.commands.option_schema import MAX_SCHEMA_CHARACTERS
from tests.plugins import write_plugin
from worker import plugins
from worker.plugins import installed_plugins
from worker.trainer import plugin_report

GOOD = """
from typing import Literal
from worker.trainer.plugins import PluginOptions, TrainerPlugin

class Options(PluginOptions):
    shade: Literal["light", "dark"] = "dark"

class Plugin(TrainerPlugin):
    Options = Options
    tasks = frozenset({"detect"})
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that installs a package for this process and every trainer it starts."""

    def write(code: str, name: str = "mine", package: str = "mine_pkg") -> None:
        folder = write_plugin(tmp_path / package, code, name=name, package=package)
        monkeypatch.syspath_prepend(str(folder))
        before = os.environ.get("PYTHONPATH")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), before])))

    return write


class TestInstalledPlugins:
    def test_no_process_is_started_without_plugins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(plugins, "ARGV", ("/nothing/to/run",))

        assert installed_plugins() == ()

    def test_a_plugin_is_described_with_its_version_tasks_and_schema(
        self, install: Install
    ) -> None:
        install(GOOD)

        (found,) = installed_plugins()

        assert (found.name, found.version, found.tasks) == ("mine", "2.5", ("detect",))
        assert found.error is None
        assert found.options_schema["additionalProperties"] is False
        assert found.options_schema["properties"] == {
            "shade": {
                "default": "dark",
                "enum": ["light", "dark"],
                "title": "Shade",
                "type": "string",
            }
        }

    def test_the_plugins_code_is_not_imported_here(self, install: Install) -> None:
        install(GOOD)

        installed_plugins()

        assert "mine_pkg" not in sys.modules

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("import a_module_that_is_not_there", "ModuleNotFoundError"),
            ("raise SystemExit(3)", "SystemExit"),
            ("Plugin = 3", "not a subclass"),
            (GOOD + "    callbacks = {'on_monday': print}", "on_monday"),
            (GOOD + "    tasks = frozenset({'detection'})", "detection"),
            (GOOD + "Options.model_config['extra'] = 'allow'", "forbid"),
            (GOOD + f"Plugin.Options.__doc__ = 'a' * {MAX_SCHEMA_CHARACTERS}", "too long"),
            (GOOD.replace("shade:", "much: float = float('inf')\n    shade:"), "JSON compliant"),
        ],
        ids=[
            "import",
            "exit",
            "no-plugin",
            "event",
            "task",
            "extra-allowed",
            "long-schema",
            "infinite-default",
        ],
    )
    def test_a_plugin_that_cannot_be_used_is_listed_with_the_reason(
        self, install: Install, code: str, said: str
    ) -> None:
        install(code)
        install(GOOD, "good", "good_pkg")

        found = {each.name: each for each in installed_plugins()}

        assert said in str(found["mine"].error)
        assert found["good"].error is None

    def test_two_packages_of_one_name_are_both_left_out(self, install: Install) -> None:
        install(GOOD)
        install(GOOD, package="other_pkg")

        (found,) = installed_plugins()

        assert "2 packages" in str(found.error)

    def test_a_name_that_no_job_can_say_is_told(self, install: Install) -> None:
        install(GOOD, name="my plugin")

        (found,) = installed_plugins()

        assert "Its name" in str(found.error)

    @pytest.mark.parametrize(
        "code",
        [
            "import os\nos._exit(0)",
            "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
            "import threading\nthreading.Event().wait(60)",
        ],
        ids=["leaves", "dies", "hangs"],
    )
    def test_a_slot_starts_whatever_a_plugin_does_to_its_process(
        self, install: Install, code: str
    ) -> None:
        install(code)

        (found,) = installed_plugins(patience_seconds=3)

        assert found.error == "It could not be described."

    def test_a_report_that_is_none_is_not_believed(
        self, install: Install, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install(GOOD)
        report = json.dumps([{"name": "mine", "version": "1", "surprise": True}])
        program = f"import sys; open(sys.argv[1], 'w').write({report!r})"
        monkeypatch.setattr(plugins, "ARGV", (sys.executable, "-c", program))

        (found,) = installed_plugins()

        assert found.error == "It could not be described."


class TestBounds:
    def test_worker_and_server_agree_how_long_a_schema_may_be(self) -> None:
        assert plugin_report.MAX_SCHEMA_CHARACTERS == MAX_SCHEMA_CHARACTERS
