"""Which member of an archive is an archive itself and all that matters in it."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from app.datasets.archives.containers import Member
from app.datasets.archives.names import is_system_file
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, shown

ARCHIVE_SUFFIXES: Final = frozenset(
    {".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".tbz", ".xz", ".txz"}
    | {".7z", ".rar", ".zst", ".tzst", ".lz4", ".lz", ".z", ".cab", ".iso"}
)
DOCUMENT_SUFFIXES: Final = frozenset(
    {".md", ".rst", ".pdf", ".html", ".htm", ".url", ".rtf", ".doc", ".docx", ".md5", ".sha256"}
)
MAX_NAMED: Final = 2
DOCUMENT_NAMES: Final = ("readme", "license", "licence", "copying", "changelog", "citation")


def inner_archive(members: Sequence[Member], findings: Findings) -> Member | None:
    """Return the archive that is the only content besides documents and system files, if any.

    If the content is several archives, add a finding that names them.
    """
    archives = []
    for member in members:
        if _is_beside_the_point(member.name):
            continue
        if PurePosixPath(member.name).suffix.lower() not in ARCHIVE_SUFFIXES:
            return None
        archives.append(member)
    if len(archives) > 1:
        names = ", ".join(shown(member.name) for member in archives[:MAX_NAMED])
        findings.add(
            Code.FORMAT_UNREAD,
            f"The upload contains {len(archives)} archives ({names}, …) and no other data; unpack"
            " them and send all files in one archive.",
        )
    return archives[0] if len(archives) == 1 else None


def _is_beside_the_point(name: str) -> bool:
    path = PurePosixPath(name.lower())
    return (
        is_system_file(name)
        or path.suffix in DOCUMENT_SUFFIXES
        or path.name.startswith(DOCUMENT_NAMES)
    )
