"""Jobs as rows of a table that has only those arguments as columns in which they differ."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.web.formats import TIMES, UNKNOWN, plain_number, short_metric

LEFT_OUT: Final = frozenset(
    {"name", "tags", "notes", "train", "customize", "class_weights", "threads", "dataset"}
)
"""Fields of a resolved spec that are no columns, or have columns of their own."""

Job = Mapping[str, Any]


@dataclass(frozen=True)
class CompareTable:
    """The rows of a comparison.

    Attributes:
        columns: names of the arguments that are shown.
        values: for each job, the text of each column.
        differing: the number of arguments in which the jobs differ.
        total: the number of all arguments.
    """

    columns: Sequence[str]
    values: Sequence[Sequence[str]]
    differing: int
    total: int


def compare_table(jobs: Sequence[Job], versions: Mapping[str, str], *, all_: bool) -> CompareTable:
    """Return the arguments of jobs, those in which they differ or all.

    Args:
        jobs: their status.
        versions: what to call the versions of datasets, by their id.
        all_: whether to show all arguments.
    """
    specs = [_arguments(job, versions) for job in jobs]
    names = list(dict.fromkeys(name for spec in specs for name in spec))
    differing = [name for name in names if len({spec.get(name, UNKNOWN) for spec in specs}) > 1]
    columns = names if all_ else differing
    values = [[spec.get(name, UNKNOWN) for name in columns] for spec in specs]
    return CompareTable(columns, values, len(differing), len(names))


def _arguments(job: Job, versions: Mapping[str, str]) -> dict[str, str]:
    """Return every argument of a job as text."""
    resolved = job["resolved"]
    found = {"dataset": versions[job["dataset_version"]]}
    found |= _flat("", {name: of for name, of in resolved.items() if name not in LEFT_OUT})
    found |= _flat("train.", resolved["train"])
    customized = resolved.get("customize") or {}
    found |= {name: CUSTOMIZED.get(name, _text)(of) for name, of in customized.items()}
    return found


def _flat(prefix: str, values: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(f"{prefix}{name}.", value)
        else:
            found[prefix + name] = _text(value)
    return found


def _text(value: Any) -> str:  # noqa: ANN401 -- any JSON value
    if value in (None, [], {}):
        return UNKNOWN
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) else plain_number(value)


def _metrics(value: Any) -> str:  # noqa: ANN401
    return ", ".join(name for name, is_on in (value or {}).items() if is_on) or UNKNOWN


def _weights(value: Any) -> str:  # noqa: ANN401
    if not value:
        return UNKNOWN
    return str(value["mode"]).replace("_", " ") if "mode" in value else "explicit"


def _best(value: Any) -> str:  # noqa: ANN401
    return short_metric(value["metric"]) if value else "fitness"


def _kept(value: Any) -> str:  # noqa: ANN401
    return ", ".join(rule["name"] for rule in value or []) or UNKNOWN


def _freeze(value: Any) -> str:  # noqa: ANN401
    if not value:
        return UNKNOWN
    epochs = value.get("epochs")
    return _text(value["layers"]) + (f", {epochs} epochs" if epochs else "")


def _rates(value: Any) -> str:  # noqa: ANN401
    rules = (
        f"{_text(rule['layers'])} {TIMES} {plain_number(rule['factor'])}" for rule in value or []
    )
    return ", ".join(rules) or UNKNOWN


CUSTOMIZED: Final[Mapping[str, Callable[[Any], str]]] = {
    "metrics": _metrics,
    "class_weights": _weights,
    "best_model": _best,
    "keep_best": _kept,
    "freeze": _freeze,
    "layer_lrs": _rates,
}
"""How the parts of `customize` are written in a cell."""
