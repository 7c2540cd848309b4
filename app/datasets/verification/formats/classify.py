"""Classification datasets: `train/<class>/image`, and the same in val (or valid, …) and test."""

from app.datasets.archives.findings import Code, Findings, shown
from app.datasets.archives.report import SPLITS, Split
from app.datasets.verification.layout import (
    MAX_PART_BYTES,
    SPLIT_FOLDERS,
    Layout,
    Sample,
    Tree,
    place,
)


def plan_classes(tree: Tree, findings: Findings) -> Layout | None:
    """Read the classes from the folders of train. If it has none, add a finding and return None."""
    folders = {split: _split_folder(tree, split) for split in SPLITS}
    train = folders["train"]
    classes = _classes_below(tree, train) if train else []
    if not classes or classes == ["images"]:
        findings.add(
            Code.LAYOUT_UNKNOWN,
            "A classification dataset has its images in train/<class>/ and val/<class>/.",
        )
        return None
    _refuse_unsafe(classes, findings)
    samples: dict[Split, list[Sample]] = {}
    for split, folder in folders.items():
        if folder is not None:
            samples[split] = _samples_of(tree, split, folder, classes, findings)
    return Layout({split: found for split, found in samples.items() if found}, classes)


def _split_folder(tree: Tree, split: Split) -> str | None:
    return next((name for name in SPLIT_FOLDERS[split] if tree.has_folder(name)), None)


def _classes_below(tree: Tree, folder: str) -> list[str]:
    """Return the class folders that contain an image, in Ultralytics' order."""
    return [name for name in tree.folders_in(folder) if tree.images_below(f"{folder}/{name}")]


def _refuse_unsafe(classes: list[str], findings: Findings) -> None:
    for name in classes:
        if not name.isprintable() or len(name.encode()) > MAX_PART_BYTES:
            findings.add(
                Code.CLASS_NAME_INVALID,
                f"Class folders need printable names of at most {MAX_PART_BYTES} bytes:"
                f" {shown(name)}",
            )


def _samples_of(
    tree: Tree, split: Split, folder: str, classes: list[str], findings: Findings
) -> list[Sample]:
    numbers = {name: number for number, name in enumerate(classes)}
    samples: list[Sample] = []
    for name in _classes_below(tree, folder):
        if name not in numbers:
            findings.add(
                Code.CLASS_UNKNOWN, f"train has no class {shown(name)!r}.", file=f"{folder}/{name}"
            )
            continue
        prefix = f"{folder}/{name}/"
        entries = [(path, path[len(prefix) :]) for path in tree.images_below(prefix[:-1])]
        samples.extend(
            Sample(image, f"{split}/{name}/{path}", label=numbers[name])
            for image, path in place(split, entries, findings)
        )
    return samples
