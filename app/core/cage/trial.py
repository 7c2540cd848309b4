"""Which layers this machine has: each is tried in a process of its own, which ends at once.

`python -I -S trial.py CAGE` prints a JSON object: each layer with null, or with why it is missing.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))

from app.core.cage.definition import FAILED, Cage, CageFailed, Layer
from app.core.cage.enter import enter
from app.core.cage.privileges import may_mount

NEEDS: Final[dict[Layer, Layer]] = {
    Layer.OWN_USER: Layer.MOUNT_NAMESPACE,  # which shows the files of the worker as its own
    Layer.PROCESS_NAMESPACE: Layer.MOUNT_NAMESPACE,  # for a /proc of its own
    Layer.LANDLOCK: Layer.NO_NEW_PRIVILEGES,
    Layer.SYSTEM_CALLS: Layer.NO_NEW_PRIVILEGES,
}
TRIAL_SECONDS: Final = 30.0
NOT_LINUX: Final = "only Linux has it"
POWERLESS: Final = "it gives this user no privileges"

Found = dict[Layer, str | None]


class TrialFailed(Exception):
    """The trial of the layers did not end, or failed itself; the text says how."""


def available_layers(cage: Cage) -> Found:
    """Try the layers of a cage. Return each with None, or with the reason why it is missing.

    A layer that this machine does not need, such as another user for a worker that is not root, is
    neither there nor missing: it is left out.

    Args:
        cage: with the paths that a real one has, since some file systems lack what a layer needs.

    Raises:
        TrialFailed: the trial did not end, or failed itself. That says nothing about the layers.
    """
    if sys.platform != "linux":
        return dict.fromkeys(cage.layers, NOT_LINUX)
    try:
        done = _tried(cage)
    except subprocess.TimeoutExpired:
        raise TrialFailed(f"it did not end within {TRIAL_SECONDS:g} seconds") from None
    if done.returncode != 0:
        text = done.stderr.decode(errors="replace")[-200:]
        raise TrialFailed(f"it ended with {done.returncode}: {text}")
    found: dict[str, str | None] = json.loads(done.stdout)
    return {Layer(name): reason for name, reason in found.items()}


def _tried(cage: Cage) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-I", "-S", __file__, cage.to_json()],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TRIAL_SECONDS,
        check=False,
    )


def main(text: str) -> None:
    """Try all layers, each together with those that were found before it, and print the result."""
    cage = Cage.from_json(text)
    found: Found = {}
    for layer in filter(_is_needed, cage.layers):
        needed = NEEDS.get(layer)
        if needed is not None and found.get(needed, needed) is not None:
            found[layer] = f"it needs {needed}"
            continue
        layers = [each for each, reason in found.items() if reason is None]
        found[layer] = _failure_of(cage.with_layers([*layers, layer]))
    if Layer.USER_NAMESPACE in found and not _has_namespace(found):
        found[Layer.USER_NAMESPACE] = found[Layer.USER_NAMESPACE] or POWERLESS
    sys.stdout.write(json.dumps(found))


def _has_namespace(found: Found) -> bool:
    """Return whether a layer works for which a namespace of users is made."""
    made = (Layer.MOUNT_NAMESPACE, Layer.PROCESS_NAMESPACE, Layer.NETWORK_NAMESPACE)
    return any(layer in found and found[layer] is None for layer in made)


def _is_needed(layer: Layer) -> bool:
    if layer is Layer.USER_NAMESPACE:
        return not may_mount()
    return layer is not Layer.OWN_USER or os.geteuid() == 0


def _failure_of(cage: Cage) -> str | None:
    """Return why a process could not enter the cage, or None if it could."""
    return _in_child(lambda: enter(cage))


def _in_child(act: Callable[[], None]) -> str | None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = FAILED
        try:
            os.close(reading)
            os.setsid()
            act()
            code = 0
        except CageFailed as failed:
            os.write(writing, failed.reason.encode())
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        reason = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return reason or (None if status == 0 else f"the process ended with status {status}")


if __name__ == "__main__":
    main(sys.argv[1])
