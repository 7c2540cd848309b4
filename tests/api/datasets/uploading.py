"""A small dataset as bytes, its upload, and the wait until it is verified."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from app.web.entry.shapes import write_shapes
from tests.waiting import eventually
from tests.worlds.server import Api

DAMAGED_LINES = (
    b"nothing\n",
    b"[]\n",
    b'{"path": "a"}\n',
    b'{"path": 1, "sha256": "", "size": -1}\n',
    b'{"path": "a", "sha256": "%s", "size": "9"}\n' % (b"0" * 64),
    b'{"path": "a", "sha256": "%s", "size": 9, "size": 8}\n' % (b"0" * 64),
    b'{"path": "a", "sha256": "%s", "size": 9, "p\\u0061th": "b"}\n' % (b"0" * 64),
)
"""Lines of a list of files that are refused."""


@cache
def shapes_zip(seed: int) -> bytes:
    """Return a small dataset that passes verification; each seed gives different bytes."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "shapes.zip"
        write_shapes(path, train=4, val=2, size=64, seed=seed)
        return path.read_bytes()


def upload(api: Api, body: bytes, *, name: str = "mine", **query: str) -> dict[str, Any]:
    answer = api.client.post("/v1/datasets", params={"name": name, **query}, content=body)
    assert answer.status_code in {200, 202}, answer.text
    view: dict[str, Any] = answer.json()
    return view


def verified(api: Api, reference: str) -> dict[str, Any]:
    """Wait until a dataset's newest version, or the given one, is verified."""

    def judged() -> dict[str, Any] | None:
        view: dict[str, Any] = api.client.get(f"/v1/datasets/{reference}").json()
        return view if view["state"] != "validating" else None

    return eventually(judged, within=60) or {}


def names(api: Api) -> list[str]:
    return [each["name"] for each in api.client.get("/v1/datasets").json()["data"]]


def spooled(api: Api) -> list[str]:
    """Return what the spool holds beside the folder of resumable uploads."""
    spool = api.context.settings.home / "spool"
    return sorted({path.name for path in spool.glob("*")} - {"uploads"})
