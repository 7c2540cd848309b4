"""A sitecustomize that records forbidden acts: opened sockets, imported integrations."""

from pathlib import Path

_WATCHER = """
import os, socket, sys

def note(what):
    with open(os.environ["WATCHED"], "a") as file:
        file.write(what + "\\n")

for name in ("connect", "connect_ex"):
    def watched(self, address, original=getattr(socket.socket, name)):
        if self.family != socket.AF_UNIX:
            note(f"connect {address}")
        return original(self, address)
    setattr(socket.socket, name, watched)

def lookup(host, *arguments, original=socket.getaddrinfo, **options):
    note(f"lookup {host}")
    return original(host, *arguments, **options)

socket.getaddrinfo = lookup
"""
_INTEGRATIONS = ("clearml", "comet_ml", "dvclive", "mlflow", "wandb")


def watched_environment(directory: Path) -> dict[str, str]:
    """Return variables under which a Python process writes `directory/watched`."""
    folder = directory / "watcher"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_WATCHER, encoding="utf-8")
    for name in _INTEGRATIONS:
        text = f"import sitecustomize\nsitecustomize.note('import {name}')\n"
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return {"PYTHONPATH": str(folder), "WATCHED": str(directory / "watched")}


def what_was_seen(directory: Path) -> list[str]:
    file = directory / "watched"
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []
