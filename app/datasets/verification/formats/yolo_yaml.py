"""Choose the data.yaml of an archive: by its name, or as the only one that describes a dataset."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.core.plain_text import is_plain
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, Fix, shown
from app.datasets.verification.dataset_yaml import (
    DatasetFields,
    dataset_fields,
    read_keys,
)
from app.datasets.verification.formats.yolo_paths import YamlPaths
from app.datasets.verification.matching import PathIndex
from app.datasets.verification.source import Upload
from app.datasets.verification.tree import is_yaml

PREFERRED_NAMES: Final = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
TRAINING_OUTPUT: Final = "runs"
"""The folder into which Ultralytics writes; YAML files there describe trainings."""
MODEL_KEYS: Final = frozenset({"backbone", "head"})
MAX_YAML_FILES: Final = 200
MAX_CHOICES: Final = 20
MAX_PATH_CHARACTERS: Final = 1000
DESCRIBING: Final = frozenset({"names", "nc", "train", "val"})


@dataclass(frozen=True)
class ChosenYaml:
    """The data.yaml of an archive; without one, `file` is None and no field is set."""

    file: str | None
    fields: DatasetFields


@dataclass(frozen=True)
class _Candidate:
    file: str
    keys: dict[str, Any]
    findings: Findings


def yaml_files(upload: Upload) -> list[str]:
    """Return the YAML files that may describe the dataset, the usual names and the root first."""
    found = [
        path
        for path in upload.tree.files
        if is_yaml(path) and TRAINING_OUTPUT not in path.split("/")[:-1]
    ]
    return sorted(found, key=_preference)[:MAX_YAML_FILES]


def _preference(path: str) -> tuple[bool, int, int, str]:
    name = path.rpartition("/")[2].lower().removesuffix(".txt")
    usual = PREFERRED_NAMES.index(name) if name in PREFERRED_NAMES else len(PREFERRED_NAMES)
    return "/" in path, usual, path.count("/"), path


def choose_yaml(upload: Upload) -> ChosenYaml | None:
    """Return the data.yaml of the archive. Return None, with findings, if it cannot be used."""
    files = yaml_files(upload)
    wanted = upload.options.data_yaml
    if wanted is not None:
        files = PathIndex(files, upload.tree.root).find(wanted)
        if len(files) != 1:
            text = f"`data_yaml` names no YAML file; there are: {_listed(yaml_files(upload))}."
            fixes = _choices(yaml_files(upload)) or [{"data_yaml": None}]
            upload.findings.add(Code.YAML_MISSING, text, fixes=fixes)
            return None
    elif files and "/" not in files[0] and files[0].lower().removesuffix(".txt") in PREFERRED_NAMES:
        files = files[:1]
    candidates = [_read(upload, path) for path in files]
    return _one_of(upload, [each for each in candidates if each is not None], files)


def _listed(paths: Sequence[str]) -> str:
    return shown(", ".join(paths[:10])) or "none"


def _choices(paths: Sequence[str]) -> list[Fix]:
    """Return the paths that can be sent as `data_yaml`."""
    fit = [path for path in paths if is_plain(path) and len(path) <= MAX_PATH_CHARACTERS]
    return [{"data_yaml": path} for path in fit[:MAX_CHOICES]]


def _read(upload: Upload, file: str) -> _Candidate | None:
    content = upload.members.read(file)
    if content is None:
        return None
    findings = Findings(upload.options.policy)
    keys = read_keys(content, file, findings)
    if keys is None:
        return _Candidate(file, {}, findings)
    given = {str(key).casefold() for key in keys}
    if given >= MODEL_KEYS:
        return None
    if not DESCRIBING & given:
        return _Candidate(file, {}, Findings())
    return _Candidate(file, keys, findings)


def _one_of(
    upload: Upload, candidates: Sequence[_Candidate], files: Sequence[str]
) -> ChosenYaml | None:
    describing = [each for each in candidates if each.keys]
    if not describing:
        broken = [each for each in candidates if each.findings.has_errors]
        is_meant = len(files) == 1 or any(_is_usual(each.file) for each in broken)
        if broken and is_meant:
            upload.findings.extend(broken[0].findings)
            return None
        return ChosenYaml(None, DatasetFields())
    named = [each for each in describing if {"names", "nc"} & each.keys.keys()] or describing
    usual = [each for each in named if _is_usual(each.file)]
    choice = usual if len(usual) == 1 else named
    if len(choice) > 1 and len({_lead_to(upload, each) for each in choice}) > 1:
        upload.findings.add(
            Code.YAML_AMBIGUOUS,
            "Several YAML files describe different datasets. Send `data_yaml`, one of: "
            f"{_listed([each.file for each in choice])}.",
            fixes=_choices([each.file for each in choice]),
        )
        return None
    chosen = choice[0]
    upload.findings.extend(chosen.findings)
    fields = dataset_fields(chosen.keys, chosen.file, upload.findings)
    return None if fields is None else ChosenYaml(chosen.file, fields)


def _is_usual(path: str) -> bool:
    return path.rpartition("/")[2].lower().removesuffix(".txt") in PREFERRED_NAMES


def _lead_to(upload: Upload, candidate: _Candidate) -> str:
    """Return the splits and names that a YAML file leads to: equal ones are one dataset."""
    fields = dataset_fields(candidate.keys, candidate.file, Findings())
    if fields is None:
        return posixpath.join("unreadable", candidate.file)
    paths = YamlPaths(upload.tree, candidate.file, fields.path)
    splits = [[paths.find(value) for value in given or []] for given in (fields.train, fields.val)]
    return repr((splits, fields.class_names))
