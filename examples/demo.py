"""Train a detector from an upload to a downloaded best.pt, and check that it detects.

Starts `trainyard up` in a temporary home, uploads drawn shapes, trains `yolo26n.yaml` from scratch,
then loads the downloaded `best.pt` with plain Ultralytics in a process without Trainyard and
predicts the validation images. Its files stay in the folder that it prints last.
`--short` trains two epochs and checks the steps only, not the detector.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

Value = TypeVar("Value")

TRAIN_IMAGES, VAL_IMAGES, IMAGE_SIZE, BATCH = 60, 20, 160, 8
EPOCHS, SHORT_EPOCHS = 18, 2
MOSAIC_OFF_EPOCHS = 5
ENDED = {"succeeded", "failed", "cancelled"}
LEAST_MAP50 = 0.15

START_SECONDS = 120.0
VERIFY_SECONDS = 120.0
TRAIN_SECONDS = 900.0
STOP_SECONDS = 60.0
POLL_SECONDS = 0.5

PREDICT = """
import json, sys
from pathlib import Path
from ultralytics import YOLO

weights, images, drawing = sys.argv[1:]
results = YOLO(weights).predict(images, imgsz=160, conf=0.25, verbose=False)
best = max(results, key=lambda result: len(result.boxes))
best.save(drawing)
print(json.dumps({"boxes": [len(result.boxes) for result in results]}))
"""


class DemoFailed(Exception):
    """A step of the demonstration failed."""


class Client:
    """The requests of the demonstration, with the standard library only."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}

    def get(self, path: str) -> Any:  # noqa: ANN401 -- JSON of any shape
        """Return the JSON at `path`."""
        return json.loads(self.download(path))

    def download(self, path: str) -> bytes:
        """Return the bytes at `path`."""
        return self._send(Request(self._url + path, headers=self._headers))  # noqa: S310

    def post(self, path: str, body: bytes, media_type: str) -> Any:  # noqa: ANN401
        """Send `body` to `path`; return the JSON of the answer."""
        headers = {**self._headers, "Content-Type": media_type}
        return json.loads(self._send(Request(self._url + path, body, headers)))  # noqa: S310

    def _send(self, request: Request) -> bytes:
        try:
            with urlopen(request, timeout=60) as answer:  # noqa: S310 -- our own server
                content: bytes = answer.read()
                return content
        except HTTPError as error:
            raise DemoFailed(f"{request.full_url}: {error.code} {error.read().decode()}") from None


def main() -> None:
    """Run the demonstration; the exit status reports whether the detector detects."""
    parser = argparse.ArgumentParser(description="Train a detector of drawn shapes.")
    parser.add_argument("--short", action="store_true", help="two epochs, checks the path only")
    short: bool = parser.parse_args().short
    folder = Path(tempfile.mkdtemp(prefix="trainyard-demo-"))
    try:
        demonstrate(folder, epochs=SHORT_EPOCHS if short else EPOCHS, must_detect=not short)
    except DemoFailed as failure:
        sys.exit(f"demo: {failure} (see {folder})")
    print(folder / "best.pt")


def demonstrate(folder: Path, *, epochs: int, must_detect: bool) -> None:
    """Make the dataset, train on it through the API, and check the trained model."""
    archive = folder / "shapes.zip"
    draw_shapes(archive)
    with running_trainyard(folder / "home", log=folder / "trainyard.log") as client:
        dataset = upload(client, archive)
        job = submit(client, dataset, epochs)
        map50 = follow(client, job)
        (folder / "best.pt").write_bytes(client.download(f"/v1/jobs/{job}/artifacts/best.pt"))
    boxes = predict(folder, archive)
    print(f"mAP50 of the best epoch: {map50:.3f}; boxes drawn: {boxes} ({folder / 'drawn.png'})")
    if must_detect and (map50 < LEAST_MAP50 or boxes == 0):
        raise DemoFailed(f"the detector does not detect: mAP50 {map50:.3f}, {boxes} boxes")


def draw_shapes(archive: Path) -> None:
    """Make the dataset with `shapes.py` in this folder."""
    script = Path(__file__).with_name("shapes.py")
    amount = {"--train": TRAIN_IMAGES, "--val": VAL_IMAGES, "--size": IMAGE_SIZE}
    options = [str(word) for pair in amount.items() for word in pair]
    subprocess.run([sys.executable, script, archive, *options], check=True)


@contextmanager
def running_trainyard(home: Path, *, log: Path) -> Iterator[Client]:
    """Run `trainyard up` on a free port while the block runs, then stop it as Ctrl-C would."""
    command = [sys.executable, "-m", "app.cli", "up", "--home", str(home), "--port", "0"]
    with log.open("wb") as output:
        started = subprocess.Popen(command, stdout=output, stderr=output)
    note = home / "server.json"
    try:
        wait_until(
            lambda: note.exists() or started.poll() is not None,
            within=START_SECONDS,
            what="trainyard up",
        )
        if started.poll() is not None:
            raise DemoFailed(f"trainyard up ended with {started.returncode}: {last_line(log)}")
        url = json.loads(note.read_text())["url"]
        print(f"Trainyard runs at {url}")
        yield Client(url, (home / "api-key").read_text().strip())
    finally:
        started.send_signal(signal.SIGINT)
        started.wait(STOP_SECONDS)


def upload(client: Client, archive: Path) -> str:
    """Upload the zip and wait for its verification; return the dataset's id."""
    path = "/v1/datasets?name=shapes&task=detect"
    dataset: str = client.post(path, archive.read_bytes(), "application/zip")["id"]
    state = wait_until(
        lambda: verdict(client.get(f"/v1/datasets/{dataset}")),
        within=VERIFY_SECONDS,
        what="the verification of the dataset",
    )
    if state != "ready":
        raise DemoFailed(f"the dataset is {state}: {client.get(f'/v1/datasets/{dataset}/report')}")
    print(f"Dataset {dataset} is ready")
    return dataset


def verdict(dataset: Mapping[str, Any]) -> str | None:
    """Return the verdict of the verification, or None while it is pending."""
    state: str = dataset["state"]
    return None if state == "validating" else state


def submit(client: Client, dataset: str, epochs: int) -> str:
    """Submit the training; return the job's id."""
    spec = {
        "name": "shapes",
        "dataset": dataset,
        "model": "yolo26n.yaml",
        "train": {
            "epochs": epochs,
            "imgsz": IMAGE_SIZE,
            "batch": BATCH,
            "nbs": BATCH,
            "optimizer": "AdamW",
            "lr0": 0.002,
            "warmup_epochs": 0,
            "close_mosaic": MOSAIC_OFF_EPOCHS,
            "plots": False,
        },
    }
    job: str = client.post("/v1/jobs", json.dumps(spec).encode(), "application/json")["id"]
    print(f"Job {job}: yolo26n.yaml from scratch, {epochs} epochs")
    return job


def follow(client: Client, job: str) -> float:
    """Print a line for each epoch as it ends; return the highest mAP50 of the run."""
    shown: list[float] = []

    def ended() -> dict[str, Any] | None:
        status: dict[str, Any] = client.get(f"/v1/jobs/{job}")
        print_new_epochs(client.get(f"/v1/jobs/{job}/metrics"), shown)
        return status if status["state"] in ENDED else None

    status = wait_until(ended, within=TRAIN_SECONDS, what=f"job {job}")
    if status["state"] != "succeeded":
        raise DemoFailed(f"job {job} is {status['state']}: {status['error']}")
    return max(shown)


def print_new_epochs(metrics: Mapping[str, Any], shown: list[float]) -> None:
    """Print the epochs that are not in `shown`, and append their mAP50 to it."""
    series = metrics["series"]
    for index, epoch in list(enumerate(metrics["epochs"]))[len(shown) :]:
        map50 = series["metrics/mAP50(B)"][index] or 0.0
        box, cls = series["train/box_loss"][index], series["train/cls_loss"][index]
        print(f"epoch {epoch:3d}  box {box:.3f}  cls {cls:.3f}  mAP50 {map50:.3f}", flush=True)
        shown.append(map50)


def predict(folder: Path, archive: Path) -> int:
    """Predict the validation images with plain Ultralytics; return the boxes of the best image.

    The process runs in another folder and loads the weights with Ultralytics' safe loader.
    """
    images = folder / "val"
    with zipfile.ZipFile(archive) as members:
        for name in members.namelist():
            if name.startswith("images/val/"):
                images.mkdir(exist_ok=True)
                (images / Path(name).name).write_bytes(members.read(name))
    finished = subprocess.run(
        [sys.executable, "-c", PREDICT, folder / "best.pt", images, folder / "drawn.png"],
        cwd=folder,
        env={**os.environ, **offline_ultralytics(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        raise DemoFailed(f"best.pt does not load or predict: {finished.stderr.strip()}")
    boxes: list[int] = json.loads(finished.stdout.splitlines()[-1])["boxes"]
    return max(boxes)


def offline_ultralytics(folder: Path) -> dict[str, str]:
    """Return an environment in which Ultralytics loads safely, without installs or network."""
    return {
        "ULTRALYTICS_SAFE_LOAD": "1",
        "YOLO_OFFLINE": "true",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_CONFIG_DIR": str(folder),
        "PYTHONSAFEPATH": "1",
    }


def wait_until(ask: Callable[[], Value | None], *, within: float, what: str) -> Value:
    """Call `ask` until it returns a value, and return that value."""
    deadline, pause = time.monotonic() + within, Event()
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            return answer
        pause.wait(POLL_SECONDS)
    raise DemoFailed(f"{what} took longer than {within:g} s")


def last_line(log: Path) -> str:
    """Return the last line of a log."""
    return (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]


if __name__ == "__main__":
    main()
