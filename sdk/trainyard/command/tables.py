"""The tables of verbs: the client's own, and those of other distributions beside it.

Another distribution adds verbs by the entry-point group `trainyard.commands`. Each entry point
names a table `{verb: (one line of help, "module:attribute")}` in a module that imports nothing
slow. The attribute is a function that Typer makes a verb of, or a Typer program with subverbs.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Final, NamedTuple

from trainyard.command.verbs import VERBS

GROUP: Final = "[trainyard.commands]"
OWN: Final = "client"


class Verb(NamedTuple):
    """One verb of one distribution."""

    help: str
    target: str

    def load(self) -> Any:  # noqa: ANN401 -- a function or a Typer program
        """Import the verb's module and return what the table names."""
        return named(self.target)


def tables() -> dict[str, dict[str, Verb]]:
    """Return every table of verbs by its name; the client's is the first."""
    found = {OWN: _table(VERBS)}
    for name, target in sorted(_entry_points()):
        found.setdefault(name, _table(named(target)))
    return found


def named(target: str) -> Any:  # noqa: ANN401 -- whatever has that name
    """Return what `module:attribute` names."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def _table(verbs: Mapping[str, tuple[str, str]]) -> dict[str, Verb]:
    return {name: Verb(*row) for name, row in verbs.items()}


def _entry_points() -> Iterator[tuple[str, str]]:
    """Yield name and target of each entry point of the group, of all installed distributions.

    `importlib.metadata` would do the same, in more time than the rest of `trainyard --help` takes.
    """
    for folder in dict.fromkeys(sys.path):
        try:
            names = os.listdir(folder or os.curdir)  # noqa: PTH208 -- pathlib is slower
        except OSError:  # a zip, or a folder that is gone
            continue
        for name in names:
            if name.endswith(".dist-info"):
                yield from _entries_of(os.path.join(folder, name, "entry_points.txt"))  # noqa: PTH118


def _entries_of(path: str) -> Iterator[tuple[str, str]]:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 -- pathlib is slower
            text = file.read()
    except OSError:  # a distribution without entry points
        return
    if GROUP not in text:
        return
    for line in text.partition(GROUP)[2].splitlines()[1:]:
        if line.startswith("["):
            return
        name, separator, target = line.partition("=")
        if separator:
            yield name.strip(), target.strip()
