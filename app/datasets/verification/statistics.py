"""Count the images, targets and objects of a dataset by split and class, as training reads them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, shown
from app.datasets.reports.report import Split, SplitSummary

MAX_EXAMPLES: Final = 10


class RunningMaximum:
    """By split, each image with more objects than all images before it."""

    def __init__(self) -> None:
        self.by_split: dict[Split, list[tuple[int, int]]] = {}

    def note(self, split: Split, position: int, objects: int) -> None:
        """Note the objects of the next image of a split; positions count from 0."""
        records = self.by_split.setdefault(split, [])
        if objects > (records[-1][1] if records else 0):
            records.append((position, objects))


@dataclass
class _Counts:
    """The fields of a `SplitSummary`, which is too slow to count with."""

    images: int = 0
    dropped: int = 0
    labels: int = 0
    backgrounds: int = 0
    objects: int = 0


class Statistics:
    """Counts images, targets and objects while they are verified."""

    def __init__(self) -> None:
        self._counts: dict[Split, _Counts] = {}
        self._classes: dict[Split, Counter[int]] = {}
        self._refused: set[Split] = set()
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
            classes: its rows without duplicates, or the masks that it shows, by class.
            objects: its rows without duplicates; None if its target is no label file.
            has_target: whether it has a target.
            is_background: whether it has no object.
        """
        counts = self._of(split)
        if objects is not None:
            self.records.note(split, counts.images, objects)
        counts.images += 1
        counts.labels += has_target
        counts.backgrounds += is_background
        counts.objects += classes.total()
        self._classes.setdefault(split, Counter()).update(classes)

    def drop(self, split: Split) -> None:
        """Count one image that the lenient policy leaves out."""
        self._of(split).dropped += 1
        self.note_refusal(split)

    def note_refusal(self, split: Split) -> None:
        """Note that an image or a target of a split is refused, so that its counts are too low."""
        self._refused.add(split)

    def _of(self, split: Split) -> _Counts:
        return self._counts.setdefault(split, _Counts())

    @property
    def splits(self) -> dict[Split, SplitSummary]:
        """The counts of each split."""
        return {split: SplitSummary(**asdict(counts)) for split, counts in self._counts.items()}

    @property
    def class_counts(self) -> Mapping[Split, Counter[int]]:
        """The number of objects of each split by class."""
        return self._classes

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

        Absent classes are reported for train and val only. A split is not judged if an image or a
        row of it was refused, because what is missing may be there.
        """
        for split in splits:
            if split in self._refused:
                continue
            counts = self._classes.get(split, Counter())
            if not counts.total():
                code = Code.LABELS_MISSING if split == "train" else Code.LABELS_EMPTY
                findings.add(code, f"No image of {split} has an object.")
            elif split != "test":
                absent = [name for number, name in enumerate(names) if not counts[number]]
                if absent:
                    findings.add(Code.CLASS_ABSENT, _absence(split, absent, len(names)))


def _absence(split: Split, absent: list[str], classes: int) -> str:
    shown_names = ", ".join(shown(name) for name in absent[:MAX_EXAMPLES])
    more = f" and {len(absent) - MAX_EXAMPLES} more" if len(absent) > MAX_EXAMPLES else ""
    return f"{len(absent)} of {classes} classes have no object in {split}: {shown_names}{more}."
