"""What the JSON formats report: what was left out or changed, once for each reason."""

from collections import Counter
from dataclasses import dataclass, field

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, shown
from app.datasets.verification.source import Upload


@dataclass
class Notes:
    """Counts by code and reason, each with the file and the image of the first one."""

    counts: Counter[tuple[Code, str]] = field(default_factory=Counter)
    first: dict[tuple[Code, str], tuple[str, str]] = field(default_factory=dict)

    def add(self, code: Code, reason: str, file: str, image: str) -> None:
        """Count one annotation or entry of `file`; `image` is the name of its image or its id."""
        key = (code, reason)
        self.counts[key] += 1
        self.first.setdefault(key, (file, image))

    def count(self, code: Code, reason: str) -> int:
        """Return how often a reason was counted."""
        return self.counts[code, reason]

    def report(self, findings: Findings) -> None:
        """Add one finding for each code and reason."""
        for (code, reason), count in self.counts.items():
            file, image = self.first[code, reason]
            text = f"{reason} There {'is 1' if count == 1 else f'are {count}'}"
            findings.add(code, shown(f"{text}, the first of {image!r}."), file=file)


def images_are_missing(upload: Upload, file: str, first: str | None, hint: str = "") -> None:
    """Add the error that none of the images of the annotations is in the archive."""
    named = "It lists no images." if first is None else f"The first one is {first!r}."
    text = f"None of its images is in the archive. {named} Add the image files. {hint}".rstrip()
    upload.findings.add(Code.IMAGES_MISSING, shown(text), file=file)
