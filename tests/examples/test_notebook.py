"""The notebook in `examples/notebook` submits a valid job, and its cells lead to `best.pt`."""

import json
import zipfile
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import pytest

from tests.examples.scripts import EXAMPLES, drawn_shapes
from tests.worlds.server import Api, trainyard_up
from trainyard import Client

NOTEBOOK: Final = EXAMPLES / "notebook" / "train.ipynb"
SMALL: Final = {"EPOCHS": 3, "IMGSZ": 64, "BATCH": 8}
SECONDS: Final = 600


class Display:
    """What IPython gives a cell as `display`: it keeps what the cell shows, newest last."""

    def __init__(self) -> None:
        self.shown: list[list[int]] = []

    def __call__(self, figure: Any, *, display_id: bool) -> "Display":  # noqa: ANN401
        assert display_id
        self.update(figure)
        return self

    def update(self, figure: Any) -> None:  # noqa: ANN401
        """Note how many points each curve of the figure has."""
        self.shown.append([len(line.get_ydata()) for axis in figure.axes for line in axis.lines])


def cells() -> list[dict[str, Any]]:
    """Return the cells with code."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(cell: dict[str, Any], names: dict[str, Any]) -> None:
    """Run a cell as a kernel does, in names that all cells share."""
    exec(compile("".join(cell["source"]), cell["id"], "exec"), names)  # noqa: S102


@pytest.mark.unit
class TestCells:
    @pytest.mark.parametrize("cell", cells(), ids=lambda cell: str(cell["id"]))
    def test_a_cell_is_python_and_keeps_no_output(self, cell: dict[str, Any]) -> None:
        compile("".join(cell["source"]), cell["id"], "exec")

        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@pytest.mark.integration
def test_the_server_finds_the_job_of_the_notebook_valid(client: Client, api: Api) -> None:
    wanted = {cell["id"]: cell for cell in cells()}
    names: dict[str, Any] = {"client": client}
    run(wanted["parameters"], names)
    names |= {"version": api.rows.dataset_id}

    run(wanted["job"], names)

    spec = names["job"].view.spec
    assert api.client.post("/v1/jobs/validate", json=spec).status_code == 200
    assert (spec["train"]["epochs"], spec["customize"]) == (30, {"metrics": {"f1": True}})


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(SECONDS * 2)
def test_the_cells_train_and_draw_each_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mpl.use("agg")
    zipfile.ZipFile(drawn_shapes(tmp_path)).extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    display = Display()
    names: dict[str, Any] = {"display": display}

    with trainyard_up(tmp_path / "home") as server:
        monkeypatch.setenv("TRAINYARD_URL", server.url)
        monkeypatch.setenv("TRAINYARD_API_KEY", server.key)
        for cell in cells():
            run(cell, names)
            if "parameters" in cell["metadata"].get("tags", []):
                names |= SMALL
        names["client"].close()

    assert display.shown == [[], [1, 1, 1], [2, 2, 2], [3, 3, 3]]
    assert all(None not in values for values in names["curves"].values())
    assert (tmp_path / "best.pt").stat().st_size > 1_000_000
