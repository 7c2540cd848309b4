"""Open untrusted archives: zips, tars and compressed tars, also as the only content of another.

Every directory is audited before a byte of its members is used, and what all levels together may
inflate to is bounded.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.datasets.archives.budget import Budget
from app.datasets.archives.containers import (
    Archive,
    Member,
    MemberCorruptError,
    MemberStream,
)
from app.datasets.archives.decompression import copied, decompressed
from app.datasets.archives.inner import inner_archive
from app.datasets.archives.kinds import COMPRESSED, Kind, kind_of, other_file, unread_archive
from app.datasets.archives.names import DRIVE, audit_names, normalised_name
from app.datasets.archives.tar_container import audited_tar
from app.datasets.archives.zip_container import audited_zip
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, shown
from app.datasets.reports.report import Limits

__all__ = [
    "DRIVE",
    "Archive",
    "Member",
    "MemberCorruptError",
    "MemberStream",
    "normalised_name",
    "open_archive",
    "open_zip",
]


@contextmanager
def open_archive(
    path: Path, limits: Limits, findings: Findings, temporary: Path | None = None
) -> Iterator[Archive | None]:
    """Audit the archive at `path`. Yield None, with the reasons in `findings`, if it is unsafe.

    Temporary files are made in the folder `temporary`; without it, beside the archive.
    """
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        budget = Budget(limits, os.fstat(file.fileno()).st_size)
        yield _Opening(budget, findings, temporary or path.parent, stack).opened(file)


@contextmanager
def open_zip(path: Path, limits: Limits, findings: Findings) -> Iterator[Archive | None]:
    """Audit the zip at `path`, whatever is in it, and no other kind of archive."""
    with path.open("rb") as file:
        if kind_of(file) is not Kind.ZIP:
            findings.add(Code.ARCHIVE_CORRUPT, "This is not a zip archive.")
            yield None
            return
        budget = Budget(limits, os.fstat(file.fileno()).st_size)
        archive = audited_zip(file, budget, findings)
        if archive is not None:
            _audit_members(archive.members, None, limits, findings)
        yield None if findings.has_errors else archive


@dataclass(frozen=True)
class _Opening:
    """One upload while it is opened: an archive, perhaps inside another one."""

    budget: Budget
    findings: Findings
    folder: Path
    stack: ExitStack

    def opened(self, file: BinaryIO) -> Archive | None:
        """Return the innermost archive, or None with the reasons in `findings`."""
        limits, name = self.budget.limits, None
        for _ in range(limits.max_inner_archives + 1):
            archive = self._audited(file, name)
            if archive is None:
                return None
            inner = inner_archive(archive.members, self.findings)
            _audit_members(archive.members, inner, limits, self.findings)
            if self.findings.has_errors:
                return None
            if inner is None:
                return archive
            copy = self._copy(archive, inner)
            if copy is None:
                return None
            file, name = copy, inner.name
        text = f"More than {limits.max_inner_archives} archives are inside one another."
        self.findings.add(Code.ARCHIVE_BOMB, text, file=name)
        return None

    def _audited(self, file: BinaryIO, name: str | None) -> Archive | None:
        kind = kind_of(file)
        if kind in COMPRESSED:
            content = decompressed(file, kind, self.folder, self.budget, self.findings)
            if content is None:
                return None
            file = self.stack.enter_context(content)
            kind = kind_of(file)
        if kind is Kind.ZIP:
            return audited_zip(file, self.budget, self.findings)
        if kind is Kind.TAR:
            return audited_tar(file, self.budget, self.findings)
        self._refuse(file, name)
        return None

    def _refuse(self, file: BinaryIO, name: str | None) -> None:
        unread, other = unread_archive(file), other_file(file)
        if unread is not None:
            text = f"This is {unread}; it is not read. Send a .zip or .tar.gz."
            self.findings.add(Code.FORMAT_UNREAD, text, file=name)
            return
        what = "neither a zip nor a tar" if other is None else f"{other} and not an archive"
        text = f"This is {what}. Send a .zip, .tar or .tar.gz with the images and their labels."
        self.findings.add(Code.ARCHIVE_CORRUPT, text, file=name)

    def _copy(self, archive: Archive, inner: Member) -> BinaryIO | None:
        try:
            copy = copied(archive, inner, self.folder)
        except MemberCorruptError as error:
            self.findings.add(Code.ARCHIVE_CORRUPT, shown(f"{error}."), file=inner.name)
            return None
        text = "It is the only content of the upload; names in other findings are those inside it."
        self.findings.add(Code.INNER_ARCHIVE, text, file=inner.name)
        return self.stack.enter_context(copy)


def _audit_members(
    members: Sequence[Member], inner: Member | None, limits: Limits, findings: Findings
) -> None:
    """Check names and sizes; an inner archive may be as large as all its members."""
    audit_names(members, limits, findings)
    for member in members:
        if member.size_bytes > limits.max_member_bytes and member is not inner:
            findings.add(
                Code.ARCHIVE_BOMB,
                f"It has {member.size_bytes} bytes; at most {limits.max_member_bytes} are allowed.",
                file=member.name,
            )
