"""The folder of a run is where `yolo` puts it, and has the files that it writes."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from ultralytics.utils import get_user_config_dir

from trainyard import TrainyardError
from trainyard.packing.ultralytics_settings import settings_folder
from trainyard.run_folder import RunPlace, make_run_folder, run_files, write_own_arguments
from trainyard.views.results import ArtifactView

pytestmark = pytest.mark.unit


def an_artifact(name: str, kind: str) -> ArtifactView:
    now = datetime.now(UTC)
    return ArtifactView(
        name=name,
        kind=kind,
        epoch=1,
        attempt=1,
        size_bytes=1,
        sha256="",
        title=None,
        created_at=now,
        links={},
    )


class TestSettings:
    @pytest.mark.parametrize("set_", [(), ("XDG_CONFIG_HOME",), ("YOLO_CONFIG_DIR",)])
    def test_the_settings_are_those_that_ultralytics_reads(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_: tuple[str, ...]
    ) -> None:
        monkeypatch.delenv("XDG_CONFIG_HOME")
        for name in set_:
            monkeypatch.setenv(name, str(tmp_path / name))
        other = Path.home() / ".config" / "Ultralytics"
        other.mkdir(parents=True)
        (other / "settings.json").write_text('{"runs_dir": "/other"}')
        theirs = get_user_config_dir() / "settings.json"  # type: ignore[no-untyped-call] # no types

        theirs.write_text('{"runs_dir": "/theirs"}')

        assert settings_folder("runs_dir") == Path("/theirs")

    def test_settings_elsewhere_are_not_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = Path.home() / ".config" / "Ultralytics"
        other.mkdir(parents=True)
        (other / "settings.json").write_text('{"runs_dir": "/other"}')

        monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))

        assert settings_folder("runs_dir") is None


class TestPlace:
    def test_runs_count_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

        folders = [make_run_folder(RunPlace(), "detect") for _ in range(3)]

        below = [folder.relative_to(tmp_path).as_posix() for folder in folders]
        assert below == ["runs/detect/train", "runs/detect/train-2", "runs/detect/train-3"]

    def test_a_folder_that_may_exist_is_used_again(self, tmp_path: Path) -> None:
        place = RunPlace(project=str(tmp_path / "mine"), name="exp", exist_ok=True)

        assert make_run_folder(place, "detect") == make_run_folder(place, "detect")

    def test_a_relative_project_is_below_the_task(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)

        folder = make_run_folder(RunPlace(project="mine", name="exp"), "pose")

        assert folder == tmp_path / "runs" / "pose" / "mine" / "exp"

    def test_the_runs_folder_of_ultralytics_settings_is_used(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
        (tmp_path / "Ultralytics").mkdir()
        (tmp_path / "Ultralytics" / "settings.json").write_text(
            f'{{"runs_dir": "{tmp_path}/elsewhere"}}'
        )

        folder = make_run_folder(RunPlace(), "detect")

        assert folder == tmp_path / "elsewhere" / "detect" / "train"


class TestFiles:
    def test_weights_have_a_folder_and_files_of_the_service_are_left_out(
        self, tmp_path: Path
    ) -> None:
        artifacts = [
            an_artifact("best.pt", "weights"),
            an_artifact("results.csv", "table"),
            an_artifact("args.yaml", "config"),
            an_artifact("spec.json", "config"),
            an_artifact("train.log", "log"),
            an_artifact("results.png", "plot"),
        ]

        placed = {path.relative_to(tmp_path) for path in run_files(artifacts, tmp_path).values()}

        names = {"weights/best.pt", "results.csv", "args.yaml", "results.png"}
        assert placed == {Path(name) for name in names}

    @pytest.mark.parametrize("name", ["../best.pt", "/etc/passwd", "..", "a/b.pt", ".bashrc"])
    def test_a_name_that_leaves_the_folder_is_refused(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(TrainyardError):
            run_files([an_artifact(name, "weights")], tmp_path)

    def test_arguments_say_what_the_person_wrote(self, tmp_path: Path) -> None:
        (tmp_path / "args.yaml").write_text(
            "model: mdl_1\ndata: data.yaml\nepochs: 3\nproject: null\nname: null\nsave_dir: null\n"
        )

        write_own_arguments(tmp_path, {"model": "my best.pt", "data": "a/b.yaml", "project": None})

        assert yaml.safe_load((tmp_path / "args.yaml").read_text()) == {
            "model": "my best.pt",
            "data": "a/b.yaml",
            "epochs": 3,
            "project": None,
            "name": tmp_path.name,
            "save_dir": str(tmp_path),
        }
