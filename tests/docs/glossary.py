"""The rows of docs/glossary.md, and the class names that they must cover."""

import ast
import builtins
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from app.tables import METADATA
from tests.architecture.sources import ROOT, python_files

GLOSSARY: Final = ROOT / "docs" / "glossary.md"
SCHEMAS: Final = (
    ROOT / "docs/schema/openapi.json",
    ROOT / "docs/schema/job-spec.schema.json",
)
ROW: Final = re.compile(
    r"^\| (?P<word>[\w ]+) \| (?P<meaning>.+) \| `(?P<home>[\w.]+)` \|(?P<names>[^|]*)\|$",
    re.MULTILINE,
)
CODE: Final = re.compile(r"`([^`]+)`")
CAMEL: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
BUILT_IN_ERRORS: Final = frozenset(
    name
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, BaseException)
)


@dataclass(frozen=True)
class Entry:
    """One row: the word, its meaning, its owner, and its names in JSON or as a column."""

    word: str
    meaning: str
    home: str
    names: tuple[str, ...]

    @property
    def noun(self) -> str:
        """Return the last word, in the singular: "set" for "resume set"."""
        return singular(self.word.rpartition(" ")[2].lower())

    @property
    def symbol(self) -> str:
        """Return the last part of the home, which may be the name of a class."""
        return self.home.rpartition(".")[2]


def entries(text: str) -> list[Entry]:
    """Return the rows of a glossary."""
    return [
        Entry(found["word"], found["meaning"], found["home"], tuple(CODE.findall(found["names"])))
        for found in ROW.finditer(text)
    ]


@cache
def json_names() -> frozenset[str]:
    """Return the properties of the pinned schemas, tables, and columns as `table.column`."""
    properties = (name for path in SCHEMAS for name in _properties(json.loads(path.read_text())))
    columns = (str(column) for table in METADATA.sorted_tables for column in table.columns)
    return frozenset([*properties, *METADATA.tables, *columns])


def _properties(node: Any) -> Iterator[str]:  # noqa: ANN401 -- any JSON
    if isinstance(node, Mapping):
        if isinstance(properties := node.get("properties"), Mapping):
            yield from properties
        yield from (name for value in node.values() for name in _properties(value))
    elif isinstance(node, list):
        yield from (name for value in node for name in _properties(value))


@cache
def named_things(*folders: str) -> frozenset[str]:
    """Return the public classes below the folders, without errors, whose names are sentences."""
    trees = [ast.parse(path.read_text()) for path in python_files(*folders)]
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    errors = _errors(classes)
    return frozenset(
        node.name for node in classes if not node.name.startswith("_") and node.name not in errors
    )


def _errors(classes: Iterable[ast.ClassDef]) -> set[str]:
    """Return the names of all classes that derive from an exception, by the names of bases."""
    bases = {
        node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases} for node in classes
    }
    errors = set(BUILT_IN_ERRORS)
    while found := {name for name, of in bases.items() if of & errors} - errors:
        errors |= found
    return errors


def head_noun(name: str) -> str:
    """Return the last word of a class name, in the singular: "job" of `ListedJobs`."""
    return singular(CAMEL.findall(name)[-1].lower())


def singular(noun: str) -> str:
    """Return the singular of a plural that ends in s: "class" of "classes", "rate" of "rates"."""
    if noun.endswith(("sses", "ches")):
        return noun[:-2]
    return noun[:-1] if noun.endswith("s") and not noun.endswith("ss") else noun
