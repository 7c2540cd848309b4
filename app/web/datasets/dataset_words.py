"""What the pages call the steps, changes, options and reasons that the API names for datasets."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

STEPS: Final = {
    "reading": "Reading the archive and its annotations",
    "dividing": "Dividing the images into splits",
    "images": "Checking each image with its labels",
    "storing": "Storing the version",
}
WAITING_STEP: Final = "Waiting for its turn"
CHANGES: Final = {
    "added": "added",
    "removed": "removed",
    "replaced": "replaced",
    "relabelled": "relabelled",
}
IGNORED: Final = {
    "system-metadata": "of operating systems",
    "labels-cache": "of a cache of labels",
    "unread-type": "of a type that is not read",
    "not-in-a-split": "outside of all splits",
}
NOT_AVAILABLE: Final = {
    "validating": "The version is not verified yet.",
    "invalid": "The version is invalid, so nothing of it is stored.",
    "earlier_release": "An earlier release verified this version and recorded nothing to show.",
}
SEVERITIES: Final = {"error": "Errors", "warning": "Warnings", "info": "Notes"}
ONE_FINDING: Final = {"error": "error", "warning": "warning", "info": "note"}
SHOWN_VALUES: Final = 3


def counted(number: int, word: str) -> str:
    """Return a number with its word, such as `1 error` and `2,000 errors`."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def step_of(progress: Mapping[str, Any] | None) -> str:
    """Return what a verification does now."""
    return WAITING_STEP if progress is None else STEPS.get(progress["step"], progress["step"])


def findings_of(counts: Mapping[str, int] | None) -> str:
    """Return the numbers of errors and warnings, such as `1 error, 40 warnings`."""
    given = counts or {}
    shown = [name for name in ("error", "warning") if given.get(name)]
    return ", ".join(counted(given[name], ONE_FINDING[name]) for name in shown)


def ignored_of(ignored: Mapping[str, Any]) -> str:
    """Return how many files were not read and why, such as `2 files outside of all splits`."""
    return f"{counted(ignored['count'], 'file')} {IGNORED[ignored['reason']]}"


def changes_of(view: Mapping[str, Any]) -> str:
    """Return how a version differs from the ready one before it."""
    if view["changes"] is None:
        return "the first that is ready" if view["state"] == "ready" else ""
    words = [f"{count:,} {CHANGES[name]}" for name, count in view["changes"].items() if count]
    return ", ".join(words) or "the same images"


def options_of(options: Mapping[str, Any] | None) -> list[str]:
    """Return each option of a version but its task as `name = value`, long values cut."""
    if options is None:
        return ["more than can be shown"]
    shown = ((name, value) for name, value in options.items() if name != "task")
    return [f"{name} = {value_of(name, value)}" for name, value in shown]


def value_of(name: str, value: object) -> str:
    """Return the value of an option in words."""
    if name == "splits":
        return shares_of(str(value))
    if isinstance(value, Mapping):
        return _few([_renamed(old, new) for old, new in value.items()])
    if isinstance(value, list):
        return _few([str(each) for each in value])
    return str(value)


def shares_of(splits: str) -> str:
    """Return shares without needless zeros: `80.0000:20.0000:0.0000` is `80:20`."""
    shares = [f"{float(share):g}" for share in splits.split(":")]
    return ":".join(shares[:-1] if shares[-1] == "0" else shares)


def _renamed(old: str, new: object) -> str:
    if new is None:
        return f"{old} dropped"
    return f"{old} → {new}" if isinstance(new, str) else old


def _few(words: Sequence[str]) -> str:
    more = len(words) - SHOWN_VALUES
    shown = ", ".join(words[:SHOWN_VALUES])
    return f"{shown} and {more:,} more" if more > 0 else shown
