"""Names of code in documents: their markup, and whether they exist."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

from tests.architecture.sources import ROOT

CODE: Final = re.compile(r"`([^`\n]+)`")
FOLDERS: Final = (
    "app",
    "sdk",
    "worker",
    "tests",
    "docs",
    "alembic",
    "docker",
    "examples",
    "benchmarks",
)


def resolves(name: str) -> bool:
    """Return whether a dotted name is a module or package, or a symbol at the top of one."""
    folder = ROOT.joinpath(*name.split("."))
    if folder.is_dir() or folder.with_suffix(".py").is_file():
        return True
    package = folder.parent / "__init__.py"
    module = package if package.is_file() else folder.parent.with_suffix(".py")
    return module.is_file() and folder.name in symbols_of(module)


def symbols_of(module: Path) -> set[str]:
    """Return the names of functions, classes and constants at the top of a module."""
    names: set[str] = set()
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


@cache
def names_in(path: str) -> frozenset[str]:
    """Return the names of all functions and classes of a file, also of those inside of others."""
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
    )
