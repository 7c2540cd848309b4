"""Judge whether too many images were dropped under the lenient policy."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings
from app.datasets.reports.report import Split, SplitSummary


class Drops:
    """Counts the images that were dropped by split and by the code of their fault."""

    def __init__(self) -> None:
        self._codes: dict[Split, Counter[Code]] = defaultdict(Counter)

    def note(self, split: Split, code: Code) -> None:
        """Note one dropped image."""
        self._codes[split][code] += 1

    def judge(
        self,
        summaries: Mapping[Split, SplitSummary],
        max_bad_ratio: float,
        findings: Findings,
        *,
        needs_objects: bool,
    ) -> None:
        """Add one error if what is left is too little to train on.

        Args:
            summaries: the counts of each split.
            max_bad_ratio: the largest share of the images that may be dropped.
            findings: gets the error.
            needs_objects: whether training needs an object in train.
        """
        total = SplitSummary(
            images=sum(summary.images for summary in summaries.values()),
            dropped=sum(summary.dropped for summary in summaries.values()),
        )
        text = self._nothing_left(summaries, needs_objects=needs_objects)
        is_enough = text is None
        every = total.dropped + total.images
        if total.dropped > max_bad_ratio * every:
            counts = f"{total.dropped} of {every} images"
            text = f"Dropped: {counts}; max_bad_ratio is {max_bad_ratio:g}."
        if text is not None:
            fixes = [{"max_bad_ratio": _ratio(total.dropped, every)}]
            findings.add(
                Code.TOO_MANY_DROPPED,
                f"{text} {self._cure(findings)}",
                fixes=fixes if is_enough else (),
            )

    def _nothing_left(
        self, summaries: Mapping[Split, SplitSummary], *, needs_objects: bool
    ) -> str | None:
        for split in self._codes:
            if not summaries[split].images:
                return f"All {summaries[split].dropped} images of {split} were dropped."
        if needs_objects and "train" in self._codes and not summaries["train"].objects:
            dropped = summaries["train"].dropped
            return f"After {dropped} images of train were dropped, no image has an object."
        return None

    def _cure(self, findings: Findings) -> str:
        codes = sum(self._codes.values(), Counter[Code]())
        most = [code for code, _ in codes.most_common(1)]
        first = next((each for each in findings.kept() if each.code in most and each.file), None)
        example = "" if first is None else f" The first: {first.file}: {first.message}"
        often = "".join(f"{code.value} ({n} images)" for code, n in codes.most_common(1))
        often = often or Code.IMAGE_TYPE_UNREAD.value
        return (
            f"Most often: {often}. Correct these files, or send a larger"
            f" max_bad_ratio if they are to be left out.{example}"
        )


def _ratio(dropped: int, every: int) -> float:
    """Return the smallest ratio with two decimals that allows the drops."""
    percent = math.ceil(100 * dropped / every)
    return percent / 100 if dropped <= percent / 100 * every else (percent + 1) / 100
