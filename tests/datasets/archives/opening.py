"""Open the bytes of an archive, for the tests of all kinds of archives."""

import io
import zipfile
from pathlib import Path

from app.datasets.archives.audit import open_archive
from app.datasets.reports.findings import Finding, Findings
from app.datasets.reports.report import Limits

SMALL = Limits(
    max_members=50,
    max_member_bytes=100_000,
    max_total_bytes=200_000,
    ratio_free_bytes=20_000,
    max_ratio=50,
)


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def opened(
    folder: Path, content: bytes, limits: Limits = SMALL
) -> tuple[list[str] | None, list[Finding]]:
    """Return the names of the members, or None if the archive is refused, and the findings."""
    path = folder / "upload"
    path.write_bytes(content)
    findings = Findings()
    with open_archive(path, limits, findings) as archive:
        names = None if archive is None else [member.name for member in archive.members]
    return names, findings.kept()


def contents(folder: Path, content: bytes, limits: Limits = SMALL) -> dict[str, bytes]:
    """Return the content of each member of an archive that must be accepted."""
    path = folder / "upload"
    path.write_bytes(content)
    findings = Findings()
    with open_archive(path, limits, findings) as archive:
        assert archive is not None, findings.kept()
        return {member.name: archive.read(member) for member in archive.members}
