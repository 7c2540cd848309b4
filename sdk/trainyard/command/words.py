"""Words such as `epochs=50` or `freeze.layers=backbone` on the command line.

Words of Ultralytics are not read here: the server translates them, see `POST /v1/jobs/parse`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import typer

from trainyard.run_folder import RunPlace

HERE: Final = frozenset({"data", "model", "project", "exist_ok"})
"""Words about files of this machine, which no server can read."""
MODE: Final = "train"
TRUE: Final = frozenset({"true", "1", "yes"})
FALSE: Final = frozenset({"false", "0", "no", "none", ""})


@dataclass
class Words:
    """The words of a training.

    Args:
        here: those about files of this machine, by name.
        customize: the customizations, as the spec has them.
        theirs: the others, for the server to translate.
    """

    here: dict[str, str] = field(default_factory=dict)
    customize: dict[str, Any] = field(default_factory=dict)
    theirs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, words: Iterable[str]) -> "Words":
        """Sort the words by who reads them.

        Raises:
            typer.BadParameter: a customization cannot be set so.
        """
        found = cls()
        customizations = []
        for word in words:
            name, equals, value = word.partition("=")
            if equals and name in HERE:
                found.here[name] = value
            elif equals and "." in name:
                customizations.append(word)
            elif equals and name:
                found.theirs[name] = value
            elif word != MODE:  # as in `yolo detect train`
                found.theirs["task"] = word
        found.customize = set_by_words(customizations)
        return found

    def place(self) -> RunPlace:
        """Return the folder for the results that the words name.

        Raises:
            typer.BadParameter: `exist_ok` is neither true nor false.
        """
        exist_ok = self.here.get("exist_ok", "false").lower()
        if exist_ok not in TRUE | FALSE:
            raise typer.BadParameter(f"exist_ok={exist_ok}: write True or False")
        return RunPlace(self.here.get("project"), self.theirs.get("name"), exist_ok in TRUE)

    def of_folder(self) -> dict[str, Any]:
        """Return what an args.yaml has about the folder."""
        place = self.place()
        return {"project": place.project, "exist_ok": place.exist_ok}


def set_by_words(words: Iterable[str]) -> dict[str, Any]:
    """Return the object that words such as `train.epochs=50` describe.

    A value is JSON where it can be read as such, else text.

    Raises:
        typer.BadParameter: a word is no `path=value`, or two contradict each other.
    """
    made: dict[str, Any] = {}
    for word in words:
        path, equals, value = word.partition("=")
        if not equals or not path or "" in path.split("."):
            raise typer.BadParameter(f"{word}: write NAME=VALUE, such as epochs=50")
        *parents, last = path.split(".")
        place = made
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise typer.BadParameter(f"{word}: {parent} has another value already")
        place[last] = _value(value)
    return made


def merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return both objects as one; where both have a value, it is the other's."""
    made = dict(one)
    for name, value in other.items():
        before = made.get(name)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        made[name] = merge(before, value) if both and before is not None else value
    return made


def read_job_file(path: Path) -> dict[str, Any]:
    """Return the spec in a file: JSON, TOML or YAML.

    Raises:
        typer.BadParameter: the file cannot be read, or has no object.
    """
    try:
        found = _READERS.get(path.suffix.lower(), json.loads)(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{path} cannot be read: {error}", param_hint="-f") from None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{path} is not a job: no fields", param_hint="-f")
    return found


def _read_toml(text: str) -> Any:  # noqa: ANN401 -- whatever the file has
    import tomllib  # noqa: PLC0415 -- seldom needed

    return tomllib.loads(text)


def _read_yaml(text: str) -> Any:  # noqa: ANN401 -- whatever the file has
    import yaml  # noqa: PLC0415 -- seldom needed

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


_READERS: Final = {".toml": _read_toml, ".yaml": _read_yaml, ".yml": _read_yaml}


def _value(text: str) -> Any:  # noqa: ANN401 -- JSON
    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)
