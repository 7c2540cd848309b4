"""Read members by their path in the tree; an unreadable member becomes a finding."""

from dataclasses import dataclass, field
from typing import Final

from app.datasets.archives.audit import Archive, MemberCorruptError
from app.datasets.packs.manifest import ManifestCorruptError
from app.datasets.packs.pack import PackCorruptError
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, shown
from app.datasets.reports.report import Limits
from app.datasets.verification.tree import Tree

NOT_OF_A_FILE: Final = (MemoryError, OSError, PackCorruptError, ManifestCorruptError)
"""Faults of this machine or of its store, and not of a file of an upload."""


@dataclass
class LastPath:
    """The path of the file that was read last, for a fault of its parser."""

    path: str | None = None


@dataclass(frozen=True)
class MemberReader:
    """Reads the members of an audited archive."""

    archive: Archive
    tree: Tree
    findings: Findings
    limits: Limits
    reading: LastPath = field(default_factory=LastPath)

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file, or add a finding and return None if it is damaged."""
        self.reading.path = path
        try:
            return self.archive.read(self.tree.files[path])
        except MemberCorruptError as error:
            self.findings.add(Code.ARCHIVE_CORRUPT, shown(f"{error}."), file=path)
            return None

    def prefix(self, path: str, size: int) -> bytes:
        """Return the first `size` bytes of a file; of a damaged one, nothing."""
        self.reading.path = path
        try:
            return self.archive.prefix(self.tree.files[path], size)
        except MemberCorruptError:
            return b""

    def read_labels(self, path: str) -> bytes | None:
        """Return the bytes of a label file, or add a finding and return None if it is too large."""
        size = self.tree.files[path].size_bytes
        if size > self.limits.max_label_bytes:
            text = f"It has {size} bytes; at most {self.limits.max_label_bytes} are allowed."
            self.findings.add(Code.LABEL_TOO_LARGE, text, file=path)
            return None
        return self.read(path)
