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

GROUP: Final = "[trainyard.commands]"
OWN: Final = "client"
VERBS: Final[dict[str, tuple[str, str]]] = {
    "train": (
        "Train: send data and weights, submit a job, show it, and fetch its results.",
        "trainyard.command.training:train",
    ),
    "plan": ("Show what a training would do.", "trainyard.command.training:plan"),
    "submit": ("Submit a job and print its id.", "trainyard.command.training:submit"),
    "jobs": ("List jobs, newest first.", "trainyard.command.jobs:list_jobs"),
    "show": ("Show a job.", "trainyard.command.jobs:show"),
    "watch": ("Show a job live until it has ended.", "trainyard.command.watching:watch"),
    "wait": ("Wait until a job has ended or started.", "trainyard.command.jobs:wait"),
    "logs": ("Print the training log of a job.", "trainyard.command.jobs:logs"),
    "metrics": ("Print the metrics of every epoch.", "trainyard.command.results:metrics"),
    "compare": ("Compare the best epochs of jobs.", "trainyard.command.results:compare"),
    "download": ("Download files of a job.", "trainyard.command.results:download"),
    "stop": (
        "End a job after the current epoch, and keep its result.",
        "trainyard.command.controls:stop",
    ),
    "pause": ("Free the slot of a job; `resume` continues it.", "trainyard.command.controls:pause"),
    "resume": ("Queue a paused job again.", "trainyard.command.controls:resume"),
    "cancel": ("Cancel a job.", "trainyard.command.controls:cancel"),
    "retry": ("Start a failed or cancelled job again.", "trainyard.command.controls:retry"),
    "extend": (
        "Train an ended job for more epochs, as a new job.",
        "trainyard.command.controls:extend",
    ),
    "clone": ("Submit a job again, with changes.", "trainyard.command.controls:clone"),
    "datasets": (
        "Send, list, examine, fix and fetch datasets.",
        "trainyard.command.datasets:datasets",
    ),
    "models": ("List models: architectures and weights.", "trainyard.command.fleet:models"),
    "workers": ("List the slots of all workers.", "trainyard.command.fleet:workers"),
    "queue": ("Show which jobs wait, and for what.", "trainyard.command.fleet:queue"),
    "open": ("Open the page of a job in a browser.", "trainyard.command.jobs:open_page"),
    "login": ("Get and store a key for a server.", "trainyard.command.login:login"),
}
"""The verbs of the client: one line of help, and where the verb is."""


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
