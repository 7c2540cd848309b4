"""The recipes of Ultralytics' customization guide: script and command submit the same job."""

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.examples.scripts import EXAMPLES, commands_of, drawn_shapes, foreign_names, loaded
from tests.worlds.server import Api, trainyard_up
from trainyard import Client
from trainyard.command.training import Wanted
from trainyard.command.words import Words

RECIPES: Final = sorted((EXAMPLES / "recipes").glob("*.py"))
MODEL: Final = "yolo26n.yaml"
SECONDS: Final = 600


def submitted_spec(client: Client, api: Api, recipe: Path) -> dict[str, Any]:
    """Return the spec that the server has of the job that the script submits."""
    spec: dict[str, Any] = loaded(recipe).submit(client, api.rows.dataset_id, MODEL).view.spec
    return spec


@pytest.mark.integration
class TestRecipes:
    def test_there_are_the_five_customizations(self, client: Client, api: Api) -> None:
        customizations = {
            name for each in RECIPES for name in submitted_spec(client, api, each)["customize"]
        }

        assert customizations == {
            "metrics",
            "class_weights",
            "best_model",
            "freeze",
            "layer_lrs",
        }

    @pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
    def test_a_recipe_needs_nothing_but_the_public_client(self, recipe: Path) -> None:
        assert foreign_names(recipe) == set()

    @pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
    def test_the_server_finds_the_spec_of_a_recipe_valid(
        self, client: Client, api: Api, recipe: Path
    ) -> None:
        spec = submitted_spec(client, api, recipe)

        assert api.client.post("/v1/jobs/validate", json=spec).status_code == 200

    @pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
    def test_the_command_of_a_recipe_means_the_same_spec(
        self, client: Client, api: Api, recipe: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script = loaded(recipe)
        monkeypatch.chdir(EXAMPLES.parent)
        ((_, verb, *words),) = commands_of(script.__doc__ or "")
        file = Path(words.pop(1)) if words[0] == "-f" else None

        wanted = Wanted.of(client, Words.of(word for word in words if word != "-f"), file)

        assert verb == "train"
        assert wanted.model == inspect.signature(script.submit).parameters["model"].default
        expected = submitted_spec(client, api, recipe)
        assert {**wanted.spec, "dataset": api.rows.dataset_id, "model": MODEL} == expected


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(SECONDS * 2)
def test_a_recipe_trains_and_leaves_best_pt(tmp_path: Path) -> None:
    recipe = EXAMPLES / "recipes" / "f1_each_epoch.py"
    options = ("--model", MODEL, "--epochs", "2", "--imgsz", "64")

    with trainyard_up(tmp_path / "home") as server:
        access = {"TRAINYARD_URL": server.url, "TRAINYARD_API_KEY": server.key}
        done = subprocess.run(
            [sys.executable, recipe, drawn_shapes(tmp_path), *options],
            cwd=tmp_path,
            env={**os.environ, **access},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    assert "epoch 2: F1 0." in done.stdout
    assert (tmp_path / "best.pt").stat().st_size > 1_000_000
