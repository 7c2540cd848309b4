"""Read the files of a pack of an earlier release, and link the files of a version for a job.

Workers import this module, so it uses neither the database nor the web framework.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from app.datasets.archives.audit import MemberCorruptError, open_zip
from app.datasets.packs.manifest import DATASET_YAML
from app.datasets.packs.pack import PACK_LIMITS, PackCorruptError
from app.datasets.reports.findings import Findings


def pack_files(pack: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the content of each file of a pack.

    Raises:
        PackCorruptError: the file is damaged or is not a pack.
    """
    findings = Findings()
    with open_zip(pack, PACK_LIMITS, findings) as archive:
        if archive is None:
            raise PackCorruptError(findings.kept()[0].message)
        for member in archive.members:
            try:
                content = archive.read(member)
            except MemberCorruptError as error:
                raise PackCorruptError(f"{member.name}: {error}") from error
            yield member.name, content


def materialise_view(files: Path, view: Path) -> Path:
    """Create a job's own directories, whose files are links to the verified files of a version.

    Ultralytics writes files beside those it reads (`labels.cache`, `.npy` of `cache=disk`, restored
    JPEGs: 8.4.190, data/dataset.py:303, data/base.py:343, data/utils.py:289). They go into the
    job's own directories, so the shared files stay as they were verified.

    Returns:
        The value for Ultralytics' `data`: the data.yaml, or `view` for classification.
    """
    view.mkdir(parents=True)
    root = str(files.resolve())
    for folder, _, names in os.walk(root):
        target = f"{view}{folder.removeprefix(root)}"
        Path(target).mkdir(exist_ok=True)
        for name in names:
            if folder == root and name == DATASET_YAML:
                shutil.copyfile(f"{folder}/{name}", f"{target}/{name}")
            else:  # not with Path: there are tens of thousands
                os.symlink(f"{folder}/{name}", f"{target}/{name}")  # noqa: PTH211 -- as above
    yaml = view / DATASET_YAML
    return yaml if yaml.exists() else view
