"""Proves that weights work anywhere. Runs as a script, where Trainyard cannot be imported.

`stock_proof.py EXIT_CODE VERDICT FILE…`: loads each file and runs it once, writes the result to
VERDICT as JSON, and exits with EXIT_CODE if a file does not pass.
"""

import json
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from ultralytics import __version__
from ultralytics.models import YOLO
from ultralytics.utils import SAFE_LOAD

SMALLEST_SIDE = 64
MOST_CHARACTERS = 300


class NotSound(Exception):
    """The file loads, but the model is not usable."""


def main(arguments: list[str]) -> int:
    """Prove all files, up to the first failure; return the exit code."""
    failed, verdict, *files = arguments
    checks: dict[str, dict[str, object]] = {}
    failure = None
    for file in map(Path, files):
        try:
            checks[file.name] = prove(file)
        except MemoryError:  # a problem of this machine, not of the file
            raise
        except Exception as error:  # noqa: BLE001 -- any exception means that the file does not work
            traceback.print_exc()
            failure = f"{file.name}: {type(error).__name__}: {first_line(error)}"
            break
    result = {"checks": checks, "failure": failure}
    Path(verdict).write_text(json.dumps(result), encoding="utf-8")
    return 0 if failure is None else int(failed)


def prove(file: Path) -> dict[str, object]:
    """Return the checks of a model that loads and gives finite numbers.

    Raises:
        NotSound: A weight or an output is not finite, or there is no output for the one image.
        Exception: Any exception from loading or running the model.
    """
    model = YOLO(str(file))
    network: Any = model.model
    if not all(torch.isfinite(weight).all() for weight in network.parameters()):
        raise NotSound("a weight is not a finite number")
    side = max(SMALLEST_SIDE, 2 * int(network.stride.max()))
    image = torch.rand(1, network.yaml.get("channels", 3), side, side)
    with torch.inference_mode():
        outputs = list(tensors_in(network(image)))
    if not outputs or outputs[0].shape[0] != 1 or not outputs[0].numel():
        raise NotSound("it has no output for an image")
    if not all(torch.isfinite(output).all() for output in outputs):
        raise NotSound("an output is not a finite number")
    return {
        "loads": True,
        "forward": True,
        "safe_load": SAFE_LOAD,
        "ultralytics": __version__,
        "task": model.task,
        "classes": len(model.names),
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "imgsz": side,
    }


def first_line(error: Exception) -> str:
    """Return the first line of the error, truncated, without characters that databases reject."""
    line = next(iter(str(error).strip().splitlines()), "")
    return line.replace("\0", "").encode(errors="replace").decode()[:MOST_CHARACTERS]


def tensors_in(output: object) -> Iterator[torch.Tensor]:
    """Yield every tensor of a model's output, which nests tuples, lists and dicts."""
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, dict):
        yield from tensors_in(list(output.values()))
    elif isinstance(output, list | tuple):
        for part in output:
            yield from tensors_in(part)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
