"""The files of a version as a verification process left them in its output folder."""

from pathlib import Path

from app.datasets.packs.manifest import read_manifest
from app.datasets.packs.pack import read_packed_list
from app.datasets.reports.report import MANIFEST_NAME, PACK_NAME, PACKED_NAME


def extract_output(output: Path, to: Path) -> None:
    """Extract all files that a verification wrote; no other version holds some of them."""
    for name, content in files_of_output(output).items():
        path = to / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def files_of_output(output: Path) -> dict[str, bytes]:
    """Return all files that a verification wrote, by path."""
    pack = (output / PACK_NAME).read_bytes()
    offsets = {file.sha256: file.offset for file in read_packed_list(output / PACKED_NAME)}
    return {
        file.path: pack[offsets[file.sha256] : offsets[file.sha256] + file.size]
        for file in read_manifest(output / MANIFEST_NAME)
    }
