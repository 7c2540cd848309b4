"""The scripts in `examples/`, and the lines for a shell in their docstrings."""

import ast
import importlib.util
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

import trainyard
from tests.architecture.sources import ROOT

EXAMPLES: Final = ROOT / "examples"


def loaded(script: Path) -> ModuleType:
    """Return a script as a module that is not `__main__`."""
    spec = importlib.util.spec_from_file_location(f"example_{script.stem}", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands_of(text: str) -> list[list[str]]:
    """Return the words of each line of a shell that begins with `trainyard`."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.split()[:1] == ["trainyard"]]


def foreign_names(script: Path) -> set[str]:
    """Return what a script imports beside the standard library and public names of the client."""
    found = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if node.module != "trainyard" or not names <= set(trainyard.__all__):
                found.add(f"{node.module}")
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            found.add(node.attr)
    return found - sys.stdlib_module_names


def drawn_shapes(folder: Path) -> Path:
    """Draw a dataset of twelve small images; return its archive."""
    archive = folder / "shapes.zip"
    few = ("--train", "8", "--val", "4", "--size", "64")
    subprocess.run([sys.executable, EXAMPLES / "shapes.py", archive, *few], check=True)
    return archive
