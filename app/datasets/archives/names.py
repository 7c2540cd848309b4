"""The names of an archive's members: their encoding, and which of them are safe to use.

Names with Windows' separators are accepted: backslashes become `/` before the name is checked.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from app.datasets.archives.containers import Member
from app.datasets.archives.legacy_text import decode_legacy
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, shown
from app.datasets.reports.report import Limits

DRIVE: Final = re.compile(r"[A-Za-z]:")
SYSTEM_FILES: Final = frozenset({"thumbs.db", "desktop.ini"})
SYSTEM_FOLDERS: Final = frozenset({"__macosx", "@eadir", "$recycle.bin"})


def decoded_names(names: Sequence[str | bytes], findings: Findings) -> list[str] | None:
    """Decode the names whose encoding the archive does not tell: those that are bytes.

    They are UTF-8 if all of them are. Otherwise one legacy encoding must explain all of them;
    if none does, add a finding and return None.
    """
    undecided = [name for name in names if isinstance(name, bytes) and not name.isascii()]
    encoding: str | None = "utf-8"
    if not all(map(is_utf8, undecided)):
        encoding = decode_legacy(undecided)
        _note_encoding(encoding, undecided, findings)
    if encoding is None:
        return None
    return [name.decode(encoding) if isinstance(name, bytes) else name for name in names]


def is_utf8(name: bytes) -> bool:
    """Return whether the bytes are UTF-8."""
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _note_encoding(encoding: str | None, undecided: Sequence[bytes], findings: Findings) -> None:
    example = next(name for name in undecided if not is_utf8(name))
    if encoding is None:
        findings.add(
            Code.NAMES_UNDECIDED,
            "The names are not UTF-8, and their encoding cannot be told from them. Rename the files"
            " to ASCII, or make the archive with UTF-8 names: `zip -r` or `tar` of Linux and macOS,"
            " or 7-Zip with the parameter cu=on.",
            file=example.decode("ascii", "backslashreplace"),
        )
        return
    findings.add(
        Code.NAMES_DECODED,
        f"{len(undecided)} names are not UTF-8; they were read as {encoding}.",
        file=example.decode(encoding),
    )


def normalised_name(name: str) -> str | None:
    """Return the name with `/` separators and without `.` parts, or None if it is not safe."""
    name = name.replace("\\", "/")
    if "\x00" in name or name.startswith("/") or DRIVE.match(name):
        return None
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if not parts or ".." in parts:
        return None
    return "/".join(parts)


def is_folder(name: str) -> bool:
    """Return whether the name itself says that the member is a folder."""
    return name.endswith(("/", "\\"))


def is_root(name: str) -> bool:
    """Return whether the name is that of the folder that was packed: `tar -c .` writes `./`."""
    return name in {".", "./", ".\\"}


def is_system_file(name: str) -> bool:
    """Return whether an operating system, and no person, put the file there."""
    parts = name.lower().split("/")
    is_hidden = any(part.startswith(".") for part in parts)
    return is_hidden or parts[-1] in SYSTEM_FILES or not SYSTEM_FOLDERS.isdisjoint(parts)


def safe_name(name: str, limits: Limits, findings: Findings) -> str | None:
    """Return the normalised name, or add a finding and return None if it is unsafe or too long."""
    folders = name.count("/") + name.count("\\")
    if len(name) > limits.max_name_characters or folders > limits.max_name_folders:
        findings.add(
            Code.NAME_TOO_LONG,
            f"The name has {len(name)} characters and {folders} folders; at most"
            f" {limits.max_name_characters} and {limits.max_name_folders} are allowed.",
            file=name,
        )
        return None
    normalised = normalised_name(name)
    if normalised is None:
        findings.add(
            Code.PATH_TRAVERSAL,
            "The member's name must be a relative path inside the archive.",
            file=name,
        )
    return normalised


def audit_names(members: Sequence[Member], limits: Limits, findings: Findings) -> None:
    """Refuse equal names, also those that some file systems treat as equal, and too long ones."""
    characters = sum(len(member.name) for member in members)
    if characters > limits.max_names_characters:
        findings.add(
            Code.NAME_TOO_LONG,
            f"The names have {characters} characters in all; at most"
            f" {limits.max_names_characters} are allowed.",
        )
        return
    seen: dict[str, Member] = {}
    for member in members:
        key = unicodedata.normalize("NFC", member.name).casefold()
        other = seen.setdefault(key, member)
        if other is not member:
            findings.add(
                Code.DUPLICATE_NAME,
                f"Some file systems treat it as the same file as {shown(other.name)}.",
                file=member.name,
            )
    for key in _files_that_are_folders(seen):
        findings.add(Code.DUPLICATE_NAME, "It is a file and also a folder.", file=seen[key].name)


def _files_that_are_folders(names: Iterable[str]) -> list[str]:
    """Return the names that other names continue after a slash.

    With NUL, which no name has, in place of the slash, a folder's files follow its name directly.
    """
    ordered = sorted(name.replace("/", "\0") for name in names)
    return [
        name.replace("\0", "/")
        for name, following in pairwise(ordered)
        if following.startswith(name + "\0")
    ]
