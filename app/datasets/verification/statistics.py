"""Count the images, targets and objects of a dataset by split and class."""

from collections import Counter
from collections.abc import Iterable

from app.datasets.archives.findings import Code, Findings
from app.datasets.archives.report import Split, SplitSummary


class RunningMaximum:
    """By split, each image with more objects than all images before it."""

    def __init__(self) -> None:
        self.by_split: dict[Split, list[tuple[int, int]]] = {}

    def note(self, split: Split, position: int, objects: int) -> None:
        """Note the objects of the next image of a split; positions count from 0."""
        records = self.by_split.setdefault(split, [])
        if objects > (records[-1][1] if records else 0):
            records.append((position, objects))


class Statistics:
    """Counts images, targets and objects while they are verified."""

    def __init__(self) -> None:
        self._summaries: dict[Split, SplitSummary] = {}
        self._classes: dict[Split, Counter[int]] = {}
        self.records = RunningMaximum()

    def count(
        self,
        split: Split,
        classes: Counter[int],
        *,
        objects: int | None,
        has_target: bool,
        is_background: bool,
    ) -> None:
        """Count one image with its objects by class.

        Args:
            split: the split of the image.
            classes: its rows, or the masks that it shows, by class.
            objects: its rows without duplicates; None if its target is no label file.
            has_target: whether it has a target.
            is_background: whether it has no object.
        """
        summary = self._summaries.setdefault(split, SplitSummary())
        if objects is not None:
            self.records.note(split, summary.images, objects)
        summary.images += 1
        summary.labels += has_target
        summary.backgrounds += is_background
        summary.objects += classes.total()
        self._classes.setdefault(split, Counter()).update(classes)

    @property
    def splits(self) -> dict[Split, SplitSummary]:
        """The counts of each split."""
        return self._summaries

    def by_name(self, names: list[str]) -> dict[Split, dict[str, int]]:
        """Return the number of objects by class name, in class order; repeated names are summed."""
        counts: dict[Split, dict[str, int]] = {}
        for split, of_split in self._classes.items():
            counts[split] = dict.fromkeys(names, 0)
            for number, name in enumerate(names):
                counts[split][name] += of_split[number]
        return counts

    def judge(self, names: list[str], splits: Iterable[Split], findings: Findings) -> None:
        """Add an error if train has no object, and warnings for other splits and absent classes.

        Absent classes are reported for train and val only.
        """
        for split in splits:
            counts = self._classes.get(split, Counter())
            if not counts.total():
                code = Code.LABELS_MISSING if split == "train" else Code.LABELS_EMPTY
                findings.add(code, f"No image of {split} has an object.")
            elif split != "test":
                for number, name in enumerate(names):
                    if not counts[number]:
                        findings.add(Code.CLASS_ABSENT, f"{name}: no object in {split}.")
