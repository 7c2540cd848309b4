"""Find images with the same bytes, inside one split and across splits."""

from collections import defaultdict
from typing import Final

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, shown
from app.datasets.reports.report import Split

MAX_EXAMPLES: Final = 5


class Copies:
    """Notes the digests of all images and reports those that were seen before."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._first: dict[str, tuple[Split, str]] = {}
        self._repeated: dict[Split, list[tuple[str, str]]] = defaultdict(list)

    def note(self, split: Split, image: str, digest: str) -> None:
        """Note one image. The same file in two splits is a matter of the layout, not of copies."""
        other, name = self._first.setdefault(digest, (split, image))
        if name == image:
            return
        if other == split:
            self._repeated[split].append((image, name))
        else:
            text = f"{shown(name)} of {other} has the same bytes: scores will be too good."
            self._findings.add(Code.SPLIT_LEAK, text, file=image)

    def report(self) -> None:
        """Add one finding for each split with repeated images."""
        for split, pairs in self._repeated.items():
            examples = ", ".join(
                f"{shown(image)} and {shown(first)}" for image, first in pairs[:MAX_EXAMPLES]
            )
            text = f"Images of {split} with the bytes of another one of {split}: {len(pairs)}"
            self._findings.add(Code.IMAGE_REPEATED, f"{text}, for example {examples}.")
